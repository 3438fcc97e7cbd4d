{{/* Numbers as the service and Kubernetes read them. */}}

{{/* A value as text: numbers without exponents, lists by commas, maps as JSON. */}}
{{- define "image-service.text" -}}
{{- if kindIs "invalid" . -}}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Requests and limits, with every quantity as text. */}}
{{- define "image-service.resources" -}}
{{- range $side, $quantities := . -}}
{{- if kindIs "map" $quantities }}
{{ $side }}:
  {{- range $name, $quantity := $quantities }}
  {{- if not (kindIs "invalid" $quantity) }}
  {{ $name }}: {{ include "image-service.text" $quantity | quote }}
  {{- end }}
  {{- end }}
{{- else if $quantities }}
{{ $side }}:
  {{- toYaml $quantities | nindent 2 }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a quantity of Kubernetes comes to: of bytes, or of processors. Takes the value and its name. */}}
{{- define "image-service.quantity" -}}
{{- $text := include "image-service.text" (first .) -}}
{{- $units := dict "m" 0.001 "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $number := regexFind "^[0-9]*\\.?[0-9]+\\.?([eE][+-]?[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- if or (eq $number "") (not (hasKey $units $unit)) -}}
{{- fail (printf "%s: %q is not a quantity, as in 1Gi, 1536Mi or 500m" (last .) $text) -}}
{{- end -}}
{{- mulf (trimSuffix "." $number | float64) (get $units $unit | float64) -}}
{{- end -}}

{{/* Bytes as people read them, rounded up. */}}
{{- define "image-service.mib" -}}
{{- printf "%d MiB" (divf . 1048576 | ceil | int64) -}}
{{- end -}}
