{{/*
Each template begins with this. It puts our default where a value of ours is missing: `helm upgrade
--reuse-values` over kubenurse's chart (or an older one of ours) renders with the old chart's
values.yaml alone. An empty map of kubenurse's defaults counts as not set.
*/}}
{{- define "kubenurse-otel.defaults" -}}
{{- $defaults := .Files.Get "files/defaults.yaml" | fromYaml -}}
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
  {{- if and (or (kindIs "map" $value) (kindIs "slice" $value)) (empty $value) -}}
    {{- $_ := set $at (last $keys) $place.value -}}
  {{- end -}}
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
