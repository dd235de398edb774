{{/* Where things are: hosts, URLs, ports, and which way telemetry goes. */}}

{{/* A host as Kubernetes takes one in an Ingress or HTTPRoute: lower case, no dot at its end. */}}
{{- define "kubenurse-otel.host" -}}
{{- . | lower | trimSuffix "." -}}
{{- end -}}

{{/* The ingress' host; empty while there is none. kubenurse's chart has a dummy as its default. */}}
{{- define "kubenurse-otel.ingressHost" -}}
{{- $host := regexReplaceAll "^https?://" (.Values.ingress.url | default "") "" | regexFind "^[^/:]+" | include "kubenurse-otel.host" -}}
{{- if ne $host "dummy-kubenurse.example.com" }}{{ $host }}{{ end -}}
{{- end -}}

{{/* KUBENURSE_INGRESS_URL; empty while there is neither a real ingress.url nor an HTTPRoute's host. */}}
{{- define "kubenurse-otel.ingressUrl" -}}
{{- $host := include "kubenurse-otel.ingressHost" . -}}
{{- if $host -}}
{{- $scheme := regexFind "^https?://" .Values.ingress.url | default "https://" -}}
{{- $rest := regexReplaceAll "^(https?://)?[^/:]+" .Values.ingress.url "" -}}
{{- printf "%s%s%s" $scheme $host (trimSuffix "/" $rest) -}}
{{- else if .Values.httpRoute.parentRefs -}}
{{- range .Values.httpRoute.hostnames | uniq | reverse }}{{ if not (hasPrefix "*" .) }}{{ $host = include "kubenurse-otel.host" . }}{{ end }}{{ end -}}
{{- with $host }}https://{{ . }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* KUBENURSE_SERVICE_URL: our Service, in the cluster domain that kubernetes_service_dns tells. */}}
{{- define "kubenurse-otel.serviceUrl" -}}
{{- $domain := regexReplaceAll "^kubernetes\\.default\\.svc\\.?" (.Values.kubernetes_service_dns | default "" | toString) "" -}}
{{- if or (eq $domain (toString .Values.kubernetes_service_dns)) (empty $domain) -}}
{{- $domain = "cluster.local" -}}
{{- end -}}
{{- $own := printf "http://%s.%s.svc.%s:%s" (include "kubenurse-otel.fullname" .) .Release.Namespace $domain (include "kubenurse-otel.servicePort" .) -}}
{{- default $own .Values.service_url -}}
{{- end -}}

{{- define "kubenurse-otel.servicePort" -}}
{{- .Values.service.port | default 8080 | int -}}
{{- end -}}

{{- define "kubenurse-otel.servicePortName" -}}
{{- .Values.service.name | default "8080-8080" -}}
{{- end -}}

{{/* KUBENURSE_NEIGHBOUR_FILTER: our own labels, unless one is given. */}}
{{- define "kubenurse-otel.neighbourFilter" -}}
{{- $own := printf "app.kubernetes.io/name=%s,app.kubernetes.io/instance=%s" (include "kubenurse-otel.name" .) .Release.Name -}}
{{- default $own .Values.neighbour_filter -}}
{{- end -}}

{{/*
A URL or host:port, with an IPv6 address in brackets (RFC 3986 section 3.2.2). Without them, as
http://$(HOST_IP):4318 becomes on an IPv6 node, 80, 443 and four digits or more at the end are a port.
*/}}
{{- define "kubenurse-otel.bracketed" -}}
{{- $scheme := regexFind "^[A-Za-z][A-Za-z0-9+.-]*://" . -}}
{{- $rest := trimPrefix $scheme . -}}
{{- $authority := regexFind "^[^/?#]*" $rest -}}
{{- $path := trimPrefix $authority $rest -}}
{{- if regexMatch "^[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*$" $authority -}}
{{- $port := regexFind ":([0-9]{4,5}|80|443)$" $authority -}}
{{- $authority = printf "[%s]%s" (trimSuffix $port $authority) $port -}}
{{- end -}}
{{ $scheme }}{{ $authority }}{{ $path }}
{{- end -}}

{{/* The port of a URL, or of host:port; else that of its scheme, else the given `default`. */}}
{{- define "kubenurse-otel.port" -}}
{{- $url := include "kubenurse-otel.bracketed" .url | lower -}}
{{- $authority := regexReplaceAll "^[a-z]+://" $url "" | regexFind "^(\\[[^\\]]*\\]|[^/:?;|]*)(:[0-9]+)?" -}}
{{- $port := regexFind ":[0-9]+$" $authority | trimPrefix ":" -}}
{{- if $port -}}{{ $port }}
{{- else if .default -}}{{ .default }}
{{- else if hasPrefix "https://" $url -}}443
{{- else if hasPrefix "http://" $url -}}80
{{- end -}}
{{- end -}}

{{/* none, service, pod or annotations. */}}
{{- define "kubenurse-otel.monitor" -}}
{{- if eq .Values.otel.metricsExporter "none" -}}none
{{- else -}}
{{- include "kubenurse-otel.isTrue" .Values.serviceMonitor.enabled | empty | ternary .Values.monitor "service" -}}
{{- end -}}
{{- end -}}

{{/* Whether a collector runs beside each agent. */}}
{{- define "kubenurse-otel.hasCollector" -}}
{{- if or .Values.collector.endpoint .Values.collector.config }}true{{ end -}}
{{- end -}}

{{/*
The port of the collector's own metrics where a monitor scrapes it; empty where none does. Annotations know
one port, and a collector.config of the user's own may have none.
*/}}
{{- define "kubenurse-otel.collectorMetricsPort" -}}
{{- $v := .Values.collector -}}
{{- if and (include "kubenurse-otel.hasCollector" .) (not $v.config) $v.metricsPort (has (include "kubenurse-otel.monitor" .) (list "service" "pod")) -}}
{{- $v.metricsPort | int -}}
{{- end -}}
{{- end -}}

{{/* Where the agent's metrics go: OTEL_METRICS_EXPORTER. What is scraped has to be served. */}}
{{- define "kubenurse-otel.metricsExporter" -}}
{{- $given := .Values.otel.metricsExporter -}}
{{- $scraped := ne (include "kubenurse-otel.monitor" .) "none" -}}
{{- if not $given -}}
{{- $pushes := or .Values.otel.endpoint (include "kubenurse-otel.hasCollector" .) -}}
{{- if and $pushes (not $scraped) }}otlp{{ else }}prometheus{{ end -}}
{{- else if and $scraped (not (contains "prometheus" $given)) -}}
prometheus,{{ $given }}
{{- else -}}
{{- $given -}}
{{- end -}}
{{- end -}}

{{/* terminationGracePeriodSeconds: shutdown_duration (Go's syntax, as 1m30s) and 10 s. */}}
{{- define "kubenurse-otel.gracePeriodSeconds" -}}
{{- $units := dict "h" 3600 "m" 60 "s" 1 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "μs" 0.000001 "ns" 0.000000001 -}}
{{- $seconds := 10.0 -}}
{{- range regexFindAll "[0-9.]+(ns|us|µs|μs|ms|s|m|h)" (.Values.shutdown_duration | default "5s" | toString) -1 -}}
{{- $unit := regexFind "[a-zµμ]+$" . -}}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{/* All extra checks, in kubenurse's syntax: its string, then the list of objects. */}}
{{- define "kubenurse-otel.extraChecks" -}}
{{- $all := list -}}
{{- with .Values.extra_checks }}{{ $all = append $all . }}{{ end -}}
{{- range $check := .Values.extraChecks -}}
{{- $one := printf "%s:%s" $check.name $check.url -}}
{{- if $check.tls }}{{ $one = printf "%s;tls" $one }}{{ end -}}
{{- range $word := list "method" "expect" "interval" "timeout" -}}
{{- with get $check $word }}{{ $one = printf "%s;%s=%s" $one $word (include "kubenurse-otel.text" .) }}{{ end -}}
{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- join "|" $all -}}
{{- end -}}

{{/* Ports of DNS, by UDP and TCP: the cluster's, and those of dns checks. */}}
{{- define "kubenurse-otel.dnsPorts" -}}
{{- $ports := .Values.networkPolicy.dnsPorts | default list -}}
{{- range splitList "|" (include "kubenurse-otel.extraChecks" .) -}}
{{- with regexFind ":dns://.*" . }}{{ $ports = append $ports (include "kubenurse-otel.port" (dict "url" (trimPrefix ":" .) "default" 53) | int) }}{{ end -}}
{{- end -}}
{{- range $ports | uniq }}
- {{ int . }}
{{- end }}
{{- end -}}

{{/* TCP ports that agents call: by port alone, as who answers there is what they are to find out. */}}
{{- define "kubenurse-otel.egressPorts" -}}
{{- $v := .Values -}}
{{- $ports := list (int $v.ports.http) (include "kubenurse-otel.servicePort" . | int) -}}
{{- if include "kubenurse-otel.isTrue" $v.use_tls }}{{ $ports = append $ports (int $v.ports.https) }}{{ end -}}
{{- $ports = append $ports (include "kubenurse-otel.port" (dict "url" (include "kubenurse-otel.serviceUrl" .)) | int) -}}
{{- with include "kubenurse-otel.ingressUrl" . }}{{ $ports = append $ports (include "kubenurse-otel.port" (dict "url" .) | int) }}{{ end -}}
{{- range $v.networkPolicy.apiServerPorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- range $v.networkPolicy.extraPorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- range splitList "|" (include "kubenurse-otel.extraChecks" .) -}}
{{- with regexFind "(https?|tcp)://.*" . }}{{ $ports = append $ports (include "kubenurse-otel.port" (dict "url" .) | int) }}{{ end -}}
{{- end -}}
{{- with $v.otel.endpoint }}{{ $ports = append $ports (include "kubenurse-otel.port" (dict "url" .) | int) }}{{ end -}}
{{- with $v.collector.endpoint }}{{ $ports = append $ports (include "kubenurse-otel.port" (dict "url" .) | int) }}{{ end -}}
{{- $numbers := list -}}
{{- range $ports | uniq }}{{ if . }}{{ $numbers = append $numbers (printf "%05d" .) }}{{ end }}{{ end -}}
{{- range sortAlpha $numbers }}
- {{ trimPrefix "0" . | trimPrefix "0" | trimPrefix "0" | trimPrefix "0" }}
{{- end }}
{{- end -}}
