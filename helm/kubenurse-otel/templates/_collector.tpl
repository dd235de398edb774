{{/* The collector beside the agent: its configuration, container and memory. */}}

{{/* files/sidecar.yaml with its one exporter pointed at collector.endpoint; or collector.config. */}}
{{- define "kubenurse-otel.collectorConfig" -}}
{{- $v := .Values.collector -}}
{{- if $v.config -}}
{{ toYaml $v.config }}
{{- else -}}
{{- $config := .Files.Get "files/sidecar.yaml" | fromYaml -}}
{{- $exporter := values $config.exporters | first -}}
{{- $isPlain := or $v.tls.insecure (hasPrefix "http://" (lower $v.endpoint)) -}}
{{- $endpoint := include "kubenurse-otel.collectorEndpoint" . -}}
{{- if and (ne $v.protocol "grpc") (not (contains "://" $endpoint)) -}}
{{- $endpoint = printf "%s://%s" (ternary "http" "https" $isPlain) $endpoint -}}
{{- end -}}
{{- if ne $v.protocol "grpc" }}{{ $_ := unset $exporter "keepalive" }}{{ end -}}
{{- $_ := set $exporter "endpoint" $endpoint -}}
{{- $tls := dict -}}
{{- if $isPlain }}{{ $_ := set $tls "insecure" true }}{{ end -}}
{{- if $v.tls.insecureSkipVerify }}{{ $_ := set $tls "insecure_skip_verify" true }}{{ end -}}
{{- if $v.tls.secretName }}{{ $_ := set $tls "ca_file" "/etc/otelcol-tls/ca.crt" }}{{ end -}}
{{- if $v.tls.clientCertificate -}}
{{- $_ := set $tls "cert_file" "/etc/otelcol-tls/tls.crt" -}}
{{- $_ := set $tls "key_file" "/etc/otelcol-tls/tls.key" -}}
{{- end -}}
{{- $_ := unset $exporter "tls" -}}
{{- with $tls }}{{ $_ := set $exporter "tls" . }}{{ end -}}
{{- $headers := dict -}}
{{- range $index, $name := keys $v.headers | sortAlpha -}}
{{- $_ := set $headers $name (printf "${env:OTLP_HEADER_%d}" $index) -}}
{{- end -}}
{{- with $headers }}{{ $_ := set $exporter "headers" . }}{{ end -}}
{{- $name := eq $v.protocol "grpc" | ternary "otlp_grpc" "otlp_http" -}}
{{- $_ := set $config "exporters" (dict $name $exporter) -}}
{{- range $config.service.pipelines }}{{ $_ := set . "exporters" (list $name) }}{{ end -}}
{{- if $v.metricsPort -}}
{{- $reader := (first $config.service.telemetry.metrics.readers).pull.exporter.prometheus -}}
{{- $_ := set $reader "port" (int $v.metricsPort) -}}
{{- if include "kubenurse-otel.collectorMetricsPort" . }}{{ $_ := set $reader "host" "" }}{{ end -}}
{{- else -}}
{{- $_ := set $config.service.telemetry "metrics" (dict "level" "none") -}}
{{- end -}}
{{ toYaml $config }}
{{- end -}}
{{- end -}}

{{/*
collector.endpoint as the collector takes it. The node's address, $(HOST_IP), is in brackets for gRPC,
which takes an IPv4 address in them, too. Go's HTTP does not: there it is as it was written.
*/}}
{{- define "kubenurse-otel.collectorEndpoint" -}}
{{- $v := .Values.collector -}}
{{- $hostIp := eq $v.protocol "grpc" | ternary "[$${env:HOST_IP}]" "${1}$${env:HOST_IP}${2}" -}}
{{- $endpoint := regexReplaceAll "(\\[?)(?:\\$\\(HOST_IP\\)|\\$\\{(?:env:)?HOST_IP\\})(\\]?)" $v.endpoint $hostIp -}}
{{- include "kubenurse-otel.bracketed" $endpoint -}}
{{- end -}}

{{- define "kubenurse-otel.collectorContainer" -}}
{{- $v := .Values.collector -}}
name: collector
image: {{ $v.image.repository }}:{{ $v.image.tag }}{{ with $v.image.digest }}@{{ . }}{{ end }}
imagePullPolicy: {{ $v.image.pullPolicy }}
args: ["--config=/etc/otelcol/config.yaml"]
{{- if $v.native }}
restartPolicy: Always
{{- else if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
lifecycle:
  preStop:
    # It goes on until the agent has sent its last.
    sleep:
      seconds: {{ sub (include "kubenurse-otel.gracePeriodSeconds" . | int) 4 }}
{{- end }}
env:
  - name: HOST_IP
    valueFrom:
      fieldRef:
        apiVersion: v1
        fieldPath: status.hostIP
  - name: KUBENURSE_NODE_NAME
    valueFrom:
      fieldRef:
        apiVersion: v1
        fieldPath: spec.nodeName
  {{- with include "kubenurse-otel.goMemoryLimit" . }}
  - name: GOMEMLIMIT
    value: {{ . }}
  {{- end }}
  {{- range $index, $name := keys $v.headers | sortAlpha }}
  {{- $header := get $v.headers $name }}
  - name: OTLP_HEADER_{{ $index }}
    valueFrom:
      secretKeyRef:
        name: {{ $header.secretName | quote }}
        key: {{ $header.key | quote }}
  {{- end }}
  {{- with $v.extraEnvs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with include "kubenurse-otel.collectorMetricsPort" . }}
ports:
  - name: otelcol-metrics
    containerPort: {{ . }}
    protocol: TCP
{{- end }}
{{- with $v.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.daemonset.containerSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: collector-config
    mountPath: /etc/otelcol
    readOnly: true
  {{- if $v.tls.secretName }}
  - name: collector-tls
    mountPath: /etc/otelcol-tls
    readOnly: true
  {{- end }}
  {{- with $v.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* 80 % of the memory limit, for limits in Mi or Gi; nothing for others. */}}
{{- define "kubenurse-otel.goMemoryLimit" -}}
{{- $limit := (.Values.collector.resources.limits | default dict).memory | toString -}}
{{- if regexMatch "^[0-9]+Mi$" $limit -}}
{{ div (mul (trimSuffix "Mi" $limit | int) 8) 10 }}MiB
{{- else if regexMatch "^[0-9]+Gi$" $limit -}}
{{ div (mul (trimSuffix "Gi" $limit | int) 8192) 10 }}MiB
{{- end -}}
{{- end -}}
