{{/* What values must hold together; each rule says why. The deployment includes it, so nothing renders past it. */}}

{{- define "image-service.validate" -}}

{{- if not .Values.image.repository -}}
{{- fail "image.repository: is required; build the image and push it to a registry of yours" -}}
{{- end -}}

{{- range $key := list "sourceBucket" "processedBucket" "processingTable" "queueUrl" "cloudfrontUrl" "awsRegion" -}}
{{- if not (get $.Values.config $key) -}}
{{- fail (printf "config.%s: is required; `python -m infra.values --stack NAME` prints it for a stack" $key) -}}
{{- end -}}
{{- end -}}

{{- range $value, $need := include "image-service.apis" . | fromYaml -}}
{{- if not (include "image-service.serves" (list $ (first $need))) -}}
{{- fail (printf "%s: the cluster does not serve %s; install %s first, or name the API in apiVersions where Helm renders without a cluster" $value (first $need) (last $need)) -}}
{{- end -}}
{{- end -}}

{{- with include "image-service.scaler" . -}}
{{- $scaler := get $.Values.autoscaling . -}}
{{- $min := $scaler.minReplicas | int -}}
{{- $max := $scaler.maxReplicas | int -}}
{{- if lt $max $min -}}
{{- fail (printf "autoscaling.%s: maxReplicas (%d) is below minReplicas (%d)" . $max $min) -}}
{{- end -}}
{{- if and $scaler.cpu.enabled (not (dig "requests" "cpu" nil $.Values.resources)) -}}
{{- fail (printf "autoscaling.%s.cpu: needs resources.requests.cpu, of which it is a percentage" .) -}}
{{- end -}}
{{- if not (or (eq . "keda") $scaler.cpu.enabled $scaler.metricName) -}}
{{- fail "autoscaling.hpa: neither metricName nor cpu is set, so there is nothing to scale on" -}}
{{- end -}}
{{- with include "image-service.fallback" $ | fromYaml -}}
{{- if and (eq (include "image-service.scaler" $) "keda") (or (lt (.replicas | int) $min) (gt (.replicas | int) $max)) -}}
{{- fail (printf "autoscaling.keda.fallback.replicas (%d) must lie between minReplicas (%d) and maxReplicas (%d)" (.replicas | int) $min $max) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- $config := .Values.config -}}
{{- $http := default 15 $config.httpTimeoutSeconds | int -}}
{{- $drain := default 75 $config.drainSeconds | int -}}
{{- $process := default 60 $config.processTimeoutSeconds | int -}}
{{- if le $drain $process -}}
{{- fail (printf "config.drainSeconds (%d) must exceed config.processTimeoutSeconds (%d): a conversion cannot be cut short" $drain $process) -}}
{{- end -}}
{{- $needed := add (.Values.preStopSeconds | int) $http $drain -}}
{{- if le (.Values.terminationGracePeriodSeconds | int) ($needed | int) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must exceed preStopSeconds + config.httpTimeoutSeconds + config.drainSeconds (%d): the pod would be killed while it drains" (.Values.terminationGracePeriodSeconds | int) ($needed | int)) -}}
{{- end -}}

{{- $upload := default 104857600 $config.maxUploadBytes | int64 -}}
{{- $request := dig "requests" "memory" nil .Values.resources -}}
{{- $limit := dig "limits" "memory" nil .Values.resources -}}
{{- $least := add $upload 67108864 -}}
{{- $budget := default (ternary $least 1073741824 (not (empty $limit))) $config.memoryBudgetBytes | int64 -}}
{{- $needed := add (max $budget $least) 268435456 -}}
{{- if not $request -}}
{{- fail "resources.requests.memory: is required; the node must have the memory that conversions may use" -}}
{{- end -}}
{{- if lt (include "image-service.bytes" $request | int64) $needed -}}
{{- fail (printf "resources.requests.memory (%v) must hold config.memoryBudgetBytes, which is at least config.maxUploadBytes and 64 MiB, or 1 GiB where neither it nor a limit is set; and 256 MiB (%d bytes): the pod would be killed for lack of memory, or not start" $request $needed) -}}
{{- end -}}
{{- if $limit -}}
{{- if ne (include "image-service.bytes" $limit | int64) (include "image-service.bytes" $request | int64) -}}
{{- fail (printf "resources.limits.memory (%v) must equal resources.requests.memory (%v): a pod that uses more than it requested is the first to be evicted" $limit $request) -}}
{{- end -}}
{{- end -}}

{{- $budgets := .Values.podDisruptionBudget -}}
{{- if $budgets.enabled -}}
{{- $min := and (hasKey $budgets "minAvailable") (not (kindIs "invalid" $budgets.minAvailable)) -}}
{{- $max := and (hasKey $budgets "maxUnavailable") (not (kindIs "invalid" $budgets.maxUnavailable)) -}}
{{- if eq $min $max -}}
{{- fail "podDisruptionBudget: exactly one of minAvailable and maxUnavailable must be set; set the other to null" -}}
{{- end -}}
{{- end -}}

{{- if and (eq (default "dev" $config.stage) "prod") (has "none" (include "image-service.text" $config.authModes | splitList ",")) -}}
{{- fail "config.authModes: none lets everybody do everything, and is not for the stage prod" -}}
{{- end -}}

{{- $origins := include "image-service.text" $config.corsOrigins | splitList "," -}}
{{- range $origin := $origins -}}
{{- if not (regexMatch "^\\s*(\\*|[A-Za-z][A-Za-z0-9+.-]*://[^\\s/?#@*]+/?)?\\s*$" $origin) -}}
{{- fail (printf "config.corsOrigins: %q is no origin, which is a scheme, a host without a wildcard and perhaps a port, as in https://app.example.com" $origin) -}}
{{- end -}}
{{- end -}}
{{- if and (has "*" $origins) (gt (len $origins) 1) -}}
{{- fail "config.corsOrigins: * allows every origin, so it goes with no other" -}}
{{- end -}}

{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: is required when the ingress is enabled; without a name it would take every request of its class" -}}
{{- end -}}

{{- if and (or .Values.metrics.serviceMonitor.enabled .Values.metrics.prometheusRule.enabled) (not .Values.metrics.enabled) -}}
{{- fail "metrics.enabled: serviceMonitor and prometheusRule need the metrics" -}}
{{- end -}}
{{- if eq (.Values.metrics.port | int) 8080 -}}
{{- fail "metrics.port: 8080 is the API's" -}}
{{- end -}}

{{- end -}}
