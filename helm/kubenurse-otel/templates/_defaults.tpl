{{/*
Each template begins with this. It puts our default where a value of ours is missing: `helm upgrade
--reuse-values` over kubenurse's chart (or an older one of ours) renders with the old chart's
values.yaml alone. A map that is left empty (`daemonset:`, which Helm takes for null and removes) or
is empty counts as not set, and so does a list that is left empty; [] is a list without items.
*/}}
{{- define "kubenurse-otel.defaults" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- range $place := $defaults.sections -}}
  {{- $at := $.Values -}}
  {{- $keys := splitList "." $place.path -}}
  {{- range initial $keys -}}
    {{- $at = get $at . -}}
  {{- end -}}
  {{- if or (empty (get $at (last $keys))) (not (kindIs "map" (get $at (last $keys)))) -}}
    {{- $_ := set $at (last $keys) $place.value -}}
  {{- end -}}
{{- end -}}
{{- range $place := $defaults.absent -}}
  {{- $at := $.Values -}}
  {{- $keys := splitList "." $place.path -}}
  {{- range initial $keys -}}
    {{- if not (kindIs "map" (get $at .)) -}}
      {{- $_ := set $at . dict -}}
    {{- end -}}
    {{- $at = get $at . -}}
  {{- end -}}
  {{- if or (not (hasKey $at (last $keys))) (kindIs "invalid" (get $at (last $keys))) -}}
    {{- $_ := set $at (last $keys) $place.value -}}
  {{- end -}}
{{- end -}}
{{- range $place := $defaults.empty -}}
  {{- $at := $.Values -}}
  {{- $keys := splitList "." $place.path -}}
  {{- range initial $keys -}}
    {{- $at = get $at . -}}
  {{- end -}}
  {{- $value := get $at (last $keys) -}}
  {{- if empty $value -}}
    {{- $_ := set $at (last $keys) $place.value -}}
  {{- end -}}
{{- end -}}
{{- include "kubenurse-otel.stale" . -}}
{{- end -}}

{{/* Keys that kubenurse's chart once had, put where they belong today. NOTES names them. */}}
{{- define "kubenurse-otel.stale" -}}
{{- range $old, $new := dict "check_api_me_ingress" "check_me_ingress" "check_api_me_service" "check_me_service" -}}
  {{- if eq (get $.Values $old | toString) "false" -}}
    {{- $_ := set $.Values $new false -}}
  {{- end -}}
{{- end -}}
{{- $rbac := (.Values.rbac | default dict).allow_unschedulable | default dict -}}
{{- if eq (toString $rbac.enabled) "false" -}}
  {{- $_ := set .Values "allow_unschedulable" true -}}
{{- end -}}
{{- end -}}

{{/* "true" for true and for the text "true", which kubenurse's chart takes, too. */}}
{{- define "kubenurse-otel.isTrue" -}}
{{- if eq (toString .) "true" }}true{{ end -}}
{{- end -}}

{{/* A number or text as it was written: Helm reads 1000000 as 1e+06. */}}
{{- define "kubenurse-otel.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) (float64 .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}
