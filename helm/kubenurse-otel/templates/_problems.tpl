{{/* Values that exclude each other: nothing is rendered. The schema has judged each alone. */}}
{{- define "kubenurse-otel.problems" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $collector := include "kubenurse-otel.hasCollector" . -}}
{{- $tls := include "kubenurse-otel.isTrue" $v.use_tls -}}
{{- if and (include "kubenurse-otel.isTrue" $v.serviceMonitor.enabled) (has $v.monitor (list "pod" "none")) -}}
{{- $problems = append $problems (printf "monitor is %s and serviceMonitor.enabled is true: choose one" $v.monitor) -}}
{{- end -}}
{{- $host := include "kubenurse-otel.ingressHost" . -}}
{{- $isName := and (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$" $host) (not (regexMatch "^[0-9.]+$" $host)) -}}
{{- if and $host (include "kubenurse-otel.isTrue" $v.ingress.enabled) (not $isName) -}}
{{- $problems = append $problems (printf "ingress.url: an Ingress takes no host %s: a-z, 0-9, - and . make a DNS name. To check an ingress that you made yourself, set ingress.enabled to false" $host) -}}
{{- end -}}
{{- if and $v.daemonset.hostNetwork $collector -}}
{{- $problems = append $problems "daemonset.hostNetwork and a collector beside the agent: on the node's network anybody could use it; set otel.endpoint in place of collector.endpoint" -}}
{{- end -}}
{{- if and $collector $v.otel.endpoint -}}
{{- $problems = append $problems "otel.endpoint and collector.endpoint (or collector.config): the agent sends to one of them" -}}
{{- end -}}
{{- $endpoint := include "kubenurse-otel.collectorEndpoint" . -}}
{{- if and (ne $endpoint $v.collector.endpoint) (regexMatch "\\]/?$" $endpoint) (or (eq $v.collector.protocol "grpc") (regexMatch ":[0-9]{1,3}\\]" $endpoint)) -}}
{{- $problems = append $problems (printf "collector.endpoint %s has no port; an IPv6 address with one is written [fd00::5]:4317" $v.collector.endpoint) -}}
{{- end -}}
{{- if and $v.collector.tls.clientCertificate (not $v.collector.tls.secretName) -}}
{{- $problems = append $problems "collector.tls.clientCertificate needs collector.tls.secretName" -}}
{{- end -}}
{{- if and $collector $v.collector.native (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- $problems = append $problems (printf "collector.native needs Kubernetes 1.29, and this is %s: there its native sidecar is an init container that never ends, and no agent starts. Set it to false" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and $tls (not (and $v.cert_file $v.cert_key)) -}}
{{- $problems = append $problems "use_tls needs cert_file and cert_key (and daemonset.volumes that hold them)" -}}
{{- end -}}
{{- if and $v.histogram_buckets (include "kubenurse-otel.isTrue" $v.victoriametrics_histogram) -}}
{{- $problems = append $problems "histogram_buckets and victoriametrics_histogram exclude each other" -}}
{{- end -}}
{{- $ports := list (int $v.ports.http) -}}
{{- if $tls }}{{ $ports = append $ports (int $v.ports.https) }}{{ end -}}
{{- if $v.ports.admin }}{{ $ports = append $ports (int $v.ports.admin) }}{{ end -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}
{{- $problems = append $problems "ports.http, ports.https and ports.admin must differ" -}}
{{- end -}}
{{/* One network for both containers. The agent sends to 4318, also with a configuration of your own. */}}
{{- $receivers := list -}}
{{- if $collector }}{{ $receivers = list 4317 4318 }}{{ end -}}
{{- if $v.collector.config }}{{ $receivers = list 4318 }}{{ end -}}
{{- range $ports -}}
{{- if has . $receivers -}}
{{- $problems = append $problems (printf "ports: %d is where the collector beside the agent takes OTLP; choose another" .) -}}
{{- end -}}
{{- end -}}
{{- $metricsPort := int $v.collector.metricsPort -}}
{{- if and $collector (not $v.collector.config) $metricsPort (has $metricsPort (concat $ports $receivers)) -}}
{{- $problems = append $problems (printf "collector.metricsPort %d: another of the pod's ports is the same (the collector takes OTLP at 4317 and 4318)" $metricsPort) -}}
{{- else if and (eq (include "kubenurse-otel.monitor" .) "service") (eq (include "kubenurse-otel.collectorMetricsPort" .) (include "kubenurse-otel.servicePort" .)) -}}
{{- $problems = append $problems (printf "collector.metricsPort %d is service.port, too: the ServiceMonitor finds both at the Service" $metricsPort) -}}
{{- end -}}
{{- if and $v.daemonset.hostNetwork ($v.daemonset.rollingUpdate | default dict).maxSurge -}}
{{- $problems = append $problems "daemonset.hostNetwork and rollingUpdate.maxSurge: two agents cannot have the node's port" -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\n%s\n" (join "\n" $problems)) -}}
{{- end -}}
{{- end -}}

{{/* The first part of neighbour_filter that our own pods' labels do not fulfil; empty if none. */}}
{{- define "kubenurse-otel.filterProblem" -}}
{{- $labels := include "kubenurse-otel.podLabels" . | fromYaml -}}
{{- $bad := list -}}
{{- range regexFindAll "[^,(]+(\\([^)]*\\))?" (include "kubenurse-otel.neighbourFilter" .) -1 -}}
  {{- $part := trim . -}}
  {{- $key := regexFind "^!?\\s*[^\\s=!<>(]+" $part -}}
  {{- $name := $key | trimPrefix "!" | trim -}}
  {{- $label := get $labels $name | toString -}}
  {{- $rest := trimPrefix $key $part | trim -}}
  {{- if not (has $name (list "controller-revision-hash" "pod-template-generation")) -}}
    {{- $good := true -}}
    {{- if hasPrefix "!=" $rest -}}
      {{- $good = ne $label (trimPrefix "!=" $rest | trim) -}}
    {{- else if hasPrefix "=" $rest -}}
      {{- $good = and (hasKey $labels $name) (eq $label (trimPrefix "=" $rest | trimPrefix "=" | trim)) -}}
    {{- else if regexMatch "^(in|notin)\\s*\\(" $rest -}}
      {{- $values := list -}}
      {{- range regexFind "\\(.*\\)" $rest | trimAll "()" | splitList "," -}}{{ $values = append $values (trim .) }}{{- end -}}
      {{- $in := and (hasKey $labels $name) (has $label $values) -}}
      {{- $good = hasPrefix "notin" $rest | ternary (not $in) $in -}}
    {{- else if hasPrefix "!" $key -}}
      {{- $good = not (hasKey $labels $name) -}}
    {{- else if not $rest -}}
      {{- $good = hasKey $labels $name -}}
    {{- end -}}
    {{- if not $good }}{{ $bad = append $bad $part }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- if $bad }}{{ first $bad }}{{ end -}}
{{- end -}}

{{/* Where NOTES says that traces go, and whose log tells when something does not arrive. */}}
{{- define "kubenurse-otel.tracesNote" -}}
{{- $v := .Values -}}
{{- $collector := include "kubenurse-otel.hasCollector" . -}}
{{- $exporter := $v.otel.tracesExporter -}}
{{- $isElsewhere := false -}}
{{- range $v.daemonset.extraEnvs }}{{ if regexMatch "^OTEL_(TRACES_EXPORTER|EXPORTER_OTLP_(TRACES_)?ENDPOINT)$" .name }}{{ $isElsewhere = true }}{{ end }}{{ end -}}
{{- $logs := printf "kubectl --namespace %s logs --selector app.kubernetes.io/name=%s,app.kubernetes.io/instance=%s --prefix" .Release.Namespace (include "kubenurse-otel.name" .) .Release.Name -}}
{{- if $isElsewhere }}
Traces: as OTEL_ variables of daemonset.extraEnvs say.
{{- else if eq $exporter "none" }}
Traces: none leave the agents (otel.tracesExporter: none).
{{- else if eq $exporter "console" }}
Traces: into the agents' own output (otel.tracesExporter: console).
{{- else if not (or $collector $v.otel.endpoint) }}
Traces: none leave the agents; set collector.endpoint or otel.endpoint.
{{- else if $v.collector.config }}
Traces: to where collector.config sends them.
{{- else if $collector }}
Traces: to {{ $v.collector.endpoint }} by {{ $v.collector.protocol }}, over a collector beside each agent.
{{- else }}
Traces: to {{ $v.otel.endpoint }} by {{ $v.otel.protocol | default "http/protobuf" }}.
{{- end }}
{{- if $collector }}
The agents only see that their collector takes what they send. Whether it can send that on it says itself,
for a dead or wrong endpoint once it gives up an export (`max_elapsed_time`, 5 minutes unless configured otherwise):

  {{ $logs }} --container collector
{{- else if or $v.otel.endpoint $isElsewhere }}
What does not arrive is in the agents' log:

  {{ $logs }} --container {{ include "kubenurse-otel.name" . }}
{{- end }}
{{- end -}}

{{/* A warning where the port is that of OTLP's other protocol. Takes `key`, `endpoint`, `protocol`. */}}
{{- define "kubenurse-otel.portWarning" -}}
{{- $port := include "kubenurse-otel.port" (dict "url" (regexReplaceAll "\\$\\(HOST_IP\\)|\\$\\{(env:)?HOST_IP\\}" .endpoint "node")) -}}
{{- $other := eq .protocol "grpc" | ternary "4318" "4317" -}}
{{- if and .endpoint (eq $port $other) }}
WARNING: {{ .key }}.endpoint {{ .endpoint }}: {{ $port }} is the port of OTLP by {{ eq .protocol "grpc" | ternary "HTTP" "gRPC" }}, and {{ .key }}.protocol is {{ .protocol }}: probably nothing will arrive. Set {{ .key }}.protocol to {{ eq .protocol "grpc" | ternary "http/protobuf" "grpc" }}, or the port to {{ eq .protocol "grpc" | ternary "4317" "4318" }}.
{{- end }}
{{- end -}}

{{/* What NOTES warns of: it is installed, and maybe not what was meant. */}}
{{- define "kubenurse-otel.warnings" -}}
{{- with include "kubenurse-otel.filterProblem" . }}
WARNING: neighbour_filter {{ include "kubenurse-otel.neighbourFilter" $ | quote }} cannot match the agents' own pods, because of {{ . | quote }}: no neighbour will be checked. Leave it empty to have it derived.
{{- end }}
{{- if and (contains "otlp" (include "kubenurse-otel.metricsExporter" .)) (ne (include "kubenurse-otel.monitor" .) "none") }}
WARNING: metrics are pushed (otel.metricsExporter) and scraped (monitor: {{ include "kubenurse-otel.monitor" . }}), too: whoever stores both has each series twice. Set `monitor: none`, or `otel.metricsExporter: prometheus`.
{{- end }}
{{- with .Values.collector }}{{ if not .config }}{{ include "kubenurse-otel.portWarning" (dict "key" "collector" "endpoint" .endpoint "protocol" .protocol) }}{{ end }}{{ end }}
{{- with .Values.otel }}{{ include "kubenurse-otel.portWarning" (dict "key" "otel" "endpoint" .endpoint "protocol" (.protocol | default "http/protobuf")) }}{{ end }}
{{- if include "kubenurse-otel.isKubenurseRepository" . }}
WARNING: daemonset.image is kubenurse's own image; {{ include "kubenurse-otel.image" . }} runs in its place. Take daemonset.image out of your values.
{{- else if include "kubenurse-otel.isKubenurseTag" . }}
WARNING: daemonset.image.tag {{ .Values.daemonset.image.tag }} is a version of kubenurse's; {{ include "kubenurse-otel.image" . }} runs. Take the tag out of your values.
{{- else if regexMatch "/kubenurse$" (toString .Values.daemonset.image.repository) }}
WARNING: daemonset.image.repository {{ .Values.daemonset.image.repository }} looks like a copy of kubenurse's image; this chart needs kubenurse-otel's.
{{- end }}
{{- range $old, $new := dict "check_api_me_ingress" "check_me_ingress" "check_api_me_service" "check_me_service" }}
{{- if eq (get $.Values $old | toString) "false" }}
WARNING: {{ $old }} was the name of {{ $new }} in kubenurse's chart before v1.14.1, and is taken for it: false. Rename it.
{{- end }}
{{- end }}
{{- if eq (((.Values.rbac | default dict).allow_unschedulable | default dict).enabled | toString) "false" }}
WARNING: rbac.allow_unschedulable.enabled of kubenurse's chart v1.7.0 is false, no rights on nodes: it is taken for allow_unschedulable: true. Rename it.
{{- end }}
{{- if and .Values.namespace (ne (toString .Values.namespace) .Release.Namespace) }}
WARNING: namespace {{ .Values.namespace }} of kubenurse's chart v1.7.0 is not used, as by its later ones: everything is in {{ .Release.Namespace }}, the release's namespace.
{{- end }}
{{- if include "kubenurse-otel.isTrue" .Values.insecure }}
WARNING: insecure is true: certificates of ingress, Service, neighbours and extra checks are not verified. That was kubenurse's default; false is ours.
{{- end }}
{{- if .Values.daemonset.hostNetwork }}
WARNING: daemonset.hostNetwork needs a namespace whose pod-security.kubernetes.io/enforce is privileged, and port {{ .Values.ports.http | int }} free on every node.
{{- end }}
{{- if and .Values.networkPolicy.enabled (not .Values.ports.admin) }}
WARNING: networkPolicy lets anybody reach port {{ .Values.ports.http | int }} and so /metrics and /alive; set ports.admin to keep these for networkPolicy.scrapers.
{{- end }}
{{- if and .Values.networkPolicy.enabled .Values.ports.admin (not .Values.networkPolicy.scrapers) }}
WARNING: nobody may reach ports.admin: name your Prometheus in networkPolicy.scrapers.
{{- end }}
{{- end -}}
