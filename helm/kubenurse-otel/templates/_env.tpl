{{/* The agent's environment: what the chart sets, and over it daemonset.extraEnvs. */}}
{{- define "kubenurse-otel.env" -}}
{{- $extra := .Values.daemonset.extraEnvs | default list -}}
{{- $taken := list -}}
{{- range $extra }}{{ $taken = append $taken .name }}{{ end -}}
{{- $env := list -}}
{{- range include "kubenurse-otel.chartEnv" . | fromYamlArray -}}
{{- if not (has .name $taken) }}{{ $env = append $env . }}{{ end -}}
{{- end -}}
{{- toYaml (concat $env $extra) -}}
{{- end -}}

{{/* HOST_IP comes first: $(HOST_IP) in later values is the node's address. */}}
{{- define "kubenurse-otel.chartEnv" -}}
{{- range $name, $path := dict "HOST_IP" "status.hostIP" "KUBENURSE_NODE_NAME" "spec.nodeName" "KUBENURSE_POD_IP" "status.podIP" "KUBENURSE_POD_NAME" "metadata.name" "KUBENURSE_POD_UID" "metadata.uid" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: {{ $path }}
{{- end }}
- name: KUBENURSE_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: KUBENURSE_NEIGHBOUR_FILTER
  value: {{ include "kubenurse-otel.neighbourFilter" . | quote }}
- name: KUBENURSE_SERVICE_URL
  value: {{ include "kubenurse-otel.serviceUrl" . | quote }}
{{- with include "kubenurse-otel.ingressUrl" . }}
- name: KUBENURSE_INGRESS_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.kubernetes_service_dns }}
- name: KUBERNETES_SERVICE_DNS
  value: {{ . | quote }}
{{- end }}
- name: KUBENURSE_PORT
  value: {{ .Values.ports.http | int | quote }}
{{- if include "kubenurse-otel.isTrue" .Values.use_tls }}
- name: KUBENURSE_TLS_PORT
  value: {{ .Values.ports.https | int | quote }}
{{- end }}
{{- with .Values.ports.admin }}
- name: KUBENURSE_ADMIN_PORT
  value: {{ . | int | quote }}
{{- end }}
{{- if include "kubenurse-otel.isTrue" .Values.events.enabled }}
- name: KUBENURSE_EVENTS
  value: "true"
{{- end }}
{{- if include "kubenurse-otel.isTrue" .Values.dnsEndpoints.enabled }}
- name: KUBENURSE_DNS_NAMESPACE
  value: {{ .Values.dnsEndpoints.namespace | quote }}
{{- with .Values.dnsEndpoints.selector }}
- name: KUBENURSE_DNS_SELECTOR
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .Values.clusterName }}
- name: KUBENURSE_CLUSTER_NAME
  value: {{ . | quote }}
{{- end }}
{{- with include "kubenurse-otel.extraChecks" . }}
- name: KUBENURSE_EXTRA_CHECKS
  value: {{ . | quote }}
{{- end }}
{{- /* Values whose key is the variable's name. Null or empty leaves the agent's own default. */}}
{{- range $key := list
  "insecure" "extra_ca" "allow_unschedulable" "neighbour_limit"
  "check_api_server_direct" "check_api_server_dns" "check_me_ingress" "check_me_service" "check_neighbourhood" "check_dns" "check_full_size" "check_explore"
  "check_interval" "check_interval_api_server" "check_interval_me_ingress" "check_interval_me_service"
  "check_interval_neighbourhood" "check_interval_extra" "check_interval_full_size" "check_timeout" "reuse_connections" "ip_families" "resolver" "use_proxy"
  "slow_threshold" "diagnosis" "haste" "page" "trace_url" "query_url" "grafana_url" "leaving_taints" "unready_when_cordoned" "shutdown_duration"
  "use_tls" "cert_file" "cert_key" "tls_server_name" "alive_status"
  "metrics" "histogram_buckets" "victoriametrics_histogram" "expose_metadata" "series_ttl"
  "trace_ratio" "trace_max_per_minute" "log_level" "log_format" }}
{{- $value := get $.Values $key }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: KUBENURSE_{{ upper $key }}
  value: {{ include "kubenurse-otel.text" $value | quote }}
{{- end }}
{{- end }}
{{ include "kubenurse-otel.otelEnv" . }}
{{- end -}}

{{- define "kubenurse-otel.otelEnv" -}}
- name: OTEL_METRICS_EXPORTER
  value: {{ include "kubenurse-otel.metricsExporter" . | quote }}
{{- with .Values.otel.tracesExporter }}
- name: OTEL_TRACES_EXPORTER
  value: {{ . | quote }}
{{- end }}
{{- with .Values.otel.logsExporter }}
- name: OTEL_LOGS_EXPORTER
  value: {{ . | quote }}
{{- end }}
{{- if include "kubenurse-otel.hasCollector" . }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: http://127.0.0.1:4318
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: http/protobuf
{{- else if .Values.otel.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .Values.otel.endpoint | quote }}
{{- with .Values.otel.protocol }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ . | quote }}
{{- end }}
{{- if .Values.otel.insecure }}
- name: OTEL_EXPORTER_OTLP_INSECURE
  value: "true"
{{- end }}
{{- with .Values.otel.compression }}
- name: OTEL_EXPORTER_OTLP_COMPRESSION
  value: {{ . | quote }}
{{- end }}
{{- with .Values.otel.headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . | quote }}
      key: {{ $.Values.otel.headersSecret.key | quote }}
{{- end }}
{{- end }}
{{- $attributes := dict }}
{{- with .Values.clusterName }}{{ $_ := set $attributes "cluster" . }}{{ end }}
{{- $attributes = mergeOverwrite $attributes (.Values.otel.resourceAttributes | default dict) }}
{{- $pairs := list }}
{{- range $key, $value := $attributes }}
{{- $pairs = append $pairs (printf "%s=%s" $key (toString $value | urlquery | replace "+" "%20")) }}
{{- end }}
{{- with $pairs }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," . | quote }}
{{- end }}
{{- end -}}
