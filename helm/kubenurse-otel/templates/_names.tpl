{{/* Names and labels: kubenurse's chart's, so that one of its releases is upgraded in place. */}}

{{- define "kubenurse-otel.name" -}}
{{- default "kubenurse" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "kubenurse-otel.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default "kubenurse" .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- $full | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "kubenurse-otel.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "kubenurse-otel.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Our labels and, over them, those of a value: a key never stands twice. Given (list context labels). */}}
{{- define "kubenurse-otel.labelsAnd" -}}
{{- toYaml (mergeOverwrite (include "kubenurse-otel.labels" (first .) | fromYaml) (last . | default dict)) -}}
{{- end -}}

{{/* Immutable in a DaemonSet: these two and no more, ever. */}}
{{- define "kubenurse-otel.selectorLabels" -}}
app.kubernetes.io/name: {{ include "kubenurse-otel.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Keeps service meshes away; on every pod of the chart. */}}
{{- define "kubenurse-otel.meshLabels" -}}
{{- if .Values.mesh.optOut -}}
sidecar.istio.io/inject: "false"
istio.io/dataplane-mode: none
{{- end -}}
{{- end -}}

{{/*
The same, and keeps the OpenTelemetry operator's libraries and sidecars away, which a namespace may ask
for: in the agent they would be measured as its own delay, or break it.
*/}}
{{- define "kubenurse-otel.optOutAnnotations" -}}
{{- if .Values.mesh.optOut -}}
sidecar.istio.io/inject: "false"
linkerd.io/inject: disabled
{{ end -}}
sidecar.opentelemetry.io/inject: "false"
{{- range list "apache-httpd" "dotnet" "go" "java" "nginx" "nodejs" "python" "sdk" }}
instrumentation.opentelemetry.io/inject-{{ . }}: "false"
{{- end -}}
{{- end -}}

{{/* Scrapers that find pods by annotation map the pod's labels: it carries the cluster's name then. */}}
{{- define "kubenurse-otel.podLabels" -}}
{{- $labels := include "kubenurse-otel.meshLabels" . | fromYaml -}}
{{- if and .Values.clusterName (eq (include "kubenurse-otel.monitor" .) "annotations") -}}
{{- $_ := set $labels "cluster" .Values.clusterName -}}
{{- end -}}
{{- $labels = mergeOverwrite $labels (.Values.daemonset.podLabels | default dict) -}}
{{- toYaml (mergeOverwrite $labels (include "kubenurse-otel.selectorLabels" . | fromYaml)) -}}
{{- end -}}

{{- define "kubenurse-otel.podAnnotations" -}}
{{- $annotations := include "kubenurse-otel.optOutAnnotations" . | fromYaml -}}
{{- $_ := set $annotations "kubectl.kubernetes.io/default-container" (include "kubenurse-otel.name" .) -}}
{{- if eq (include "kubenurse-otel.monitor" .) "annotations" -}}
{{- $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- $_ := set $annotations "prometheus.io/port" (default .Values.ports.http .Values.ports.admin | int | toString) -}}
{{- $_ := set $annotations "prometheus.io/scheme" "http" -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- end -}}
{{- if include "kubenurse-otel.hasCollector" . -}}
{{- $_ := set $annotations "checksum/collector-config" (include "kubenurse-otel.collectorConfig" . | sha256sum) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $annotations (.Values.daemonset.podAnnotations | default dict)) -}}
{{- end -}}

{{- define "kubenurse-otel.serviceAccountName" -}}
{{- $own := include "kubenurse-otel.isTrue" .Values.serviceAccount.create | empty | ternary "default" (include "kubenurse-otel.fullname" .) -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}
