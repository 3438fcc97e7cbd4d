{{/* Names, labels, and what several templates need to know. */}}

{{- define "image-service.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A CronJob's name has at most 52 characters, and ends in -reconcile. */}}
{{- define "image-service.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "image-service.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 42 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 42 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-service.selectorLabels" -}}
app.kubernetes.io/name: {{ include "image-service.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "image-service.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "image-service.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: truss-image
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The pods that serve; those of jobs and tests carry another component. */}}
{{- define "image-service.podSelectorLabels" -}}
{{ include "image-service.selectorLabels" . }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "image-service.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "image-service.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "image-service.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* `sourceBucket` is `SOURCE_BUCKET`. Null and "" leave a setting to the service. */}}
{{- define "image-service.config" -}}
HOST: "0.0.0.0"
PORT: "8080"
{{- if .Values.metrics.enabled }}
METRICS_PORT: {{ .Values.metrics.port | int64 | quote }}
{{- end }}
{{- range $key, $value := .Values.config }}
{{- $text := include "image-service.text" $value }}
{{- if ne $text "" }}
{{ regexReplaceAll "([A-Z])" $key "_${1}" | upper }}: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A value as the service reads it: numbers without exponents, lists by commas, maps as JSON. */}}
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

{{/* What scales the pods: keda, hpa or nothing. KEDA makes an HPA of its own, and two would fight over the replicas. */}}
{{- define "image-service.scaler" -}}
{{- if .Values.autoscaling.keda.enabled -}}keda{{- else if .Values.autoscaling.hpa.enabled -}}hpa{{- end -}}
{{- end -}}

{{/* Fewest pods that there are: what scales them says it, or nothing does. */}}
{{- define "image-service.minReplicas" -}}
{{- with include "image-service.scaler" . -}}
{{- get (get $.Values.autoscaling .) "minReplicas" -}}
{{- else -}}
{{- .Values.replicaCount -}}
{{- end -}}
{{- end -}}

{{/* What KEDA does while it cannot read the queue. */}}
{{- define "image-service.fallback" -}}
{{- $keda := .Values.autoscaling.keda -}}
{{- with $keda.fallback -}}
{{- $twice := min (mul 2 ($keda.minReplicas | int)) ($keda.maxReplicas | int) -}}
{{- merge (dict "replicas" (default $twice .replicas | int)) . | toYaml -}}
{{- end -}}
{{- end -}}

{{/* APIs that Kubernetes has not by itself: which value needs them, and what brings them. */}}
{{- define "image-service.apis" -}}
{{- $scaler := include "image-service.scaler" . -}}
{{- if eq $scaler "keda" }}
autoscaling.keda.enabled: [keda.sh/v1alpha1, KEDA]
{{- end }}
{{- if and (eq $scaler "hpa") .Values.autoscaling.hpa.metricName }}
autoscaling.hpa.metricName: [external.metrics.k8s.io/v1beta1, an adapter such as prometheus-adapter]
{{- end }}
{{- range $name := list "serviceMonitor" "prometheusRule" }}
{{- if (get $.Values.metrics $name).enabled }}
metrics.{{ $name }}.enabled: [monitoring.coreos.com/v1, the Prometheus operator]
{{- end }}
{{- end }}
{{- end -}}

{{- define "image-service.serves" -}}
{{- $root := first . -}}
{{- if or ($root.Capabilities.APIVersions.Has (last .)) (has (last .) $root.Values.apiVersions) -}}yes{{- end -}}
{{- end -}}

{{/* Messages that a pod has in work at once, as the service counts them. */}}
{{- define "image-service.slots" -}}
{{- default (add (include "image-service.threads" . | int) 1) .Values.config.workerSlots | int -}}
{{- end -}}

{{/* Images converted at once by a pod: without a number the service follows its limit of processors. */}}
{{- define "image-service.threads" -}}
{{- $cpu := dig "limits" "cpu" "2" .Values.resources | toString -}}
{{- $cpus := ternary (divf (trimSuffix "m" $cpu | float64) 1000) ($cpu | float64) (hasSuffix "m" $cpu) -}}
{{- default (max 1 (ceil $cpus | int)) .Values.config.workerThreads | int -}}
{{- end -}}

{{/* A quantity of memory in bytes. */}}
{{- define "image-service.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "" 1 -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- if not (and (hasKey $units $unit) (regexMatch "^[0-9]+(\\.[0-9]+)?[A-Za-z]*$" $text)) -}}
{{- fail (printf "resources: %q is not a quantity of memory, as in 1Gi or 1024Mi" $text) -}}
{{- end -}}
{{- mulf (trimSuffix $unit $text | float64) (get $units $unit) | int64 -}}
{{- end -}}

{{/* Where every container of the image gets its settings. */}}
{{- define "image-service.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "image-service.fullname" . }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Of every pod of the image: who it is and what it may do. */}}
{{- define "image-service.podIdentity" -}}
serviceAccountName: {{ include "image-service.serviceAccountName" . }}
automountServiceAccountToken: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Of every pod of the image: where it runs. */}}
{{- define "image-service.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{- define "image-service.tmp" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.tmpSizeLimit }}
{{- end -}}
