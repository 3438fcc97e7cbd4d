{{/* Names, labels, and what every pod of the image has. */}}

{{- define "image-service.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* A CronJob's name has at most 52 characters, and ends in -reconcile. Two long names that begin alike stay two. */}}
{{- define "image-service.fullname" -}}
{{- $name := include "image-service.name" . -}}
{{- $long := default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) .Values.fullnameOverride -}}
{{- if gt (len $long) 42 -}}
{{- printf "%s-%s" (trunc 33 $long | trimSuffix "-") (sha256sum $long | trunc 8) -}}
{{- else -}}
{{- trimSuffix "-" $long -}}
{{- end -}}
{{- end -}}

{{- define "image-service.selectorLabels" -}}
app.kubernetes.io/name: {{ include "image-service.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels that the chart itself writes. */}}
{{- define "image-service.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "image-service.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: truss-image
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Name, labels and annotations of an object: the chart's, everybody's and its own. Takes the chart and what is its own. */}}
{{- define "image-service.metadata" -}}
{{- $root := first . -}}
{{- $own := last . -}}
name: {{ default (printf "%s%s" (include "image-service.fullname" $root) (default "" $own.suffix)) $own.name }}
labels:
  {{- include "image-service.ownLabels" $root | nindent 2 }}
  {{- with merge (dict) (default dict $own.labels) $root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default dict $own.annotations) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pods that serve; those of the worker, of jobs and of tests carry another component. */}}
{{- define "image-service.podSelectorLabels" -}}
{{ include "image-service.selectorLabels" . }}
app.kubernetes.io/component: {{ .component }}
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
{{- printf "%s:%s%s" .Values.image.repository (default .Chart.AppVersion (include "image-service.text" .Values.image.tag)) .Values.image.suffix -}}
{{- end -}}
{{- end -}}

{{/* `sourceBucket` is `SOURCE_BUCKET`. Null and "" leave a setting to the service, but for what the pod's size decides. */}}
{{- define "image-service.config" -}}
HOST: "0.0.0.0"
PORT: "8080"
{{- if .Values.metrics.enabled }}
METRICS_PORT: {{ .Values.metrics.port | int64 | quote }}
{{- end }}
{{- range $key, $value := merge (deepCopy .Values.config) (include "image-service.sized" . | fromYaml) }}
{{- $text := include "image-service.text" $value }}
{{- if ne $text "" }}
{{ regexReplaceAll "([A-Z])" $key "_${1}" | upper }}: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where every container of the image gets its settings. */}}
{{- define "image-service.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "image-service.fullname" . }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with concat (include "image-service.roles" . | fromYamlArray) .Values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Of every container of the image: what it may do, and what it sees of the pod's volumes. */}}
{{- define "image-service.container" -}}
image: {{ include "image-service.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if .Values.privateKeySecret }}
  - name: private-key
    mountPath: /etc/truss-image
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Of every pod of the image: who it is, what it may do, where it runs, whom it asks for names, and its volumes. */}}
{{- define "image-service.pod" -}}
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
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ include "image-service.text" .Values.tmpSizeLimit }}
  {{- with .Values.privateKeySecret }}
  - name: private-key
    secret:
      secretName: {{ . }}
      items: [{ key: private-key.pem, path: private-key.pem }]
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* APIs that Kubernetes has not by itself: which value needs them, and what brings them. */}}
{{- define "image-service.apis" -}}
{{- range .deployments }}
{{- $scaler := include "image-service.scaler" . }}
{{- if eq $scaler "keda" }}
autoscaling.keda.enabled: [keda.sh/v1alpha1, KEDA]
{{- end }}
{{- if and (eq $scaler "hpa") .converts .Values.autoscaling.hpa.metricName }}
autoscaling.hpa.metricName: [external.metrics.k8s.io/v1beta1, an adapter such as prometheus-adapter]
{{- end }}
{{- end }}
{{- range $name := list "serviceMonitor" "prometheusRule" }}
{{- if (get $.Values.metrics $name).enabled }}
metrics.{{ $name }}.enabled: [monitoring.coreos.com/v1, the Prometheus operator]
{{- end }}
{{- end }}
{{- if .Values.httpRoute.enabled }}
httpRoute.enabled: [gateway.networking.k8s.io/v1, the Gateway API and a controller for it]
{{- end }}
{{- end -}}

{{- define "image-service.serves" -}}
{{- $root := first . -}}
{{- if or ($root.Capabilities.APIVersions.Has (last .)) (has (last .) $root.Values.apiVersions) -}}yes{{- end -}}
{{- end -}}
