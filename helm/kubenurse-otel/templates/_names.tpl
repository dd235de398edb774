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

{{- define "kubenurse-otel.meshAnnotations" -}}
{{- if .Values.mesh.optOut -}}
sidecar.istio.io/inject: "false"
linkerd.io/inject: disabled
{{- end -}}
{{- end -}}

{{/* Scrapers that find pods by annotation map the pod's labels: it carries the cluster's name then. */}}
{{- define "kubenurse-otel.podLabels" -}}
{{ include "kubenurse-otel.selectorLabels" . }}
{{- with include "kubenurse-otel.meshLabels" . }}
{{ . }}
{{- end }}
{{- if and .Values.clusterName (eq (include "kubenurse-otel.monitor" .) "annotations") }}
cluster: {{ .Values.clusterName | quote }}
{{- end }}
{{- with .Values.daemonset.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "kubenurse-otel.serviceAccountName" -}}
{{- $own := include "kubenurse-otel.isTrue" .Values.serviceAccount.create | empty | ternary "default" (include "kubenurse-otel.fullname" .) -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}
