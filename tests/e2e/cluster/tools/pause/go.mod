module kubenurse-otel.test/pause

go 1.24.0
