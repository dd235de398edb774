{{/* The agent's image. kubenurse's repository, or a tag of its form beside ours, is not set for us. */}}

{{- define "kubenurse-otel.isKubenurseRepository" -}}
{{- if regexMatch "^((registry-1\\.|index\\.)?docker\\.io/)?postfinance/kubenurse$" (toString .Values.daemonset.image.repository) }}true{{ end -}}
{{- end -}}

{{- define "kubenurse-otel.isKubenurseTag" -}}
{{- $image := .Values.daemonset.image -}}
{{- $own := (.Files.Get "files/defaults.yaml" | fromYaml).repository -}}
{{- if include "kubenurse-otel.isKubenurseRepository" . -}}
{{- if $image.tag }}true{{ end -}}
{{- else if and (eq (default $own $image.repository) $own) (regexMatch "^v[0-9]+\\.[0-9]+\\.[0-9]+$" (toString $image.tag)) -}}
true
{{- end -}}
{{- end -}}

{{- define "kubenurse-otel.image" -}}
{{- $image := .Values.daemonset.image -}}
{{- $own := (.Files.Get "files/defaults.yaml" | fromYaml).repository -}}
{{- $repository := include "kubenurse-otel.isKubenurseRepository" . | empty | ternary (default $own $image.repository) $own -}}
{{- if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ include "kubenurse-otel.isKubenurseTag" . | empty | ternary (default .Chart.AppVersion $image.tag) .Chart.AppVersion }}
{{- end -}}
{{- end -}}
