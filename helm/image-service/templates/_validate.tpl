{{/* What values must hold together; each rule says why, and where it is a sum, shows it. */}}

{{- define "image-service.validate" -}}
{{- include "image-service.validate.required" . -}}
{{- include "image-service.validate.apis" . -}}
{{- range .deployments -}}
{{- include "image-service.validate.scaling" . -}}
{{- include "image-service.validate.stopping" . -}}
{{- include "image-service.validate.memory" . -}}
{{- include "image-service.validate.processors" . -}}
{{- include "image-service.validate.disruption" . -}}
{{- include "image-service.validate.labels" . -}}
{{- end -}}
{{- include "image-service.validate.balancer" . -}}
{{- include "image-service.validate.identity" . -}}
{{- include "image-service.validate.origins" . -}}
{{- include "image-service.validate.ways" . -}}
{{- end -}}

{{- define "image-service.validate.required" -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository: is required; build the image and push it to a registry of yours" -}}
{{- end -}}
{{- range $key := list "sourceBucket" "processedBucket" "processingTable" "queueUrl" "cloudfrontUrl" "awsRegion" -}}
{{- if not (get $.Values.config $key) -}}
{{- fail (printf "config.%s: is required; `python -m infra.values --stack NAME` prints it for a stack" $key) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.worker.values (not .Values.worker.separate) -}}
{{- fail "worker.values: has no effect unless worker.separate is true" -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.apis" -}}
{{- range $value, $need := include "image-service.apis" . | fromYaml -}}
{{- if not (include "image-service.serves" (list $ (first $need))) -}}
{{- fail (printf "%s: the cluster does not serve %s; install %s first, or name the API in apiVersions where Helm renders without a cluster" $value (first $need) (last $need)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.scaling" -}}
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
{{- $queue := and $.converts (or (eq . "keda") $scaler.metricName) -}}
{{- if not (or $scaler.cpu.enabled $queue $scaler.triggers) -}}
{{- fail (printf "autoscaling.%s: neither the queue nor cpu is followed, so there is nothing to scale the component %s on" . $.component) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "image-service.scaler" .) "keda" -}}
{{- $keda := .Values.autoscaling.keda -}}
{{- with include "image-service.fallback" . | fromYaml -}}
{{- if or (lt (.replicas | int) ($keda.minReplicas | int)) (gt (.replicas | int) ($keda.maxReplicas | int)) -}}
{{- fail (printf "autoscaling.keda.fallback.replicas (%d) must lie between minReplicas (%v) and maxReplicas (%v)" (.replicas | int) $keda.minReplicas $keda.maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.stopping" -}}
{{- $config := .Values.config -}}
{{- $drain := default 75 $config.drainSeconds | int -}}
{{- $process := default 60 $config.processTimeoutSeconds | int -}}
{{- if and .converts (le $drain $process) -}}
{{- fail (printf "config.drainSeconds (%d) must exceed config.processTimeoutSeconds (%d): a conversion cannot be cut short" $drain $process) -}}
{{- end -}}
{{- $needed := include "image-service.stopping" . | int -}}
{{- $grace := include "image-service.gracePeriod" . | int -}}
{{- if le $grace $needed -}}
{{- $requests := printf "config.stopDelaySeconds (%s) + config.httpTimeoutSeconds (%d)" (include "image-service.stopDelay" .) (default 15 $config.httpTimeoutSeconds | int) -}}
{{- $conversions := printf "config.drainSeconds (%d)" $drain -}}
{{- $both := printf "the longer of %s and %s" $conversions $requests -}}
{{- $what := ternary (ternary $both $requests .converts) $conversions .answers -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must exceed preStopSeconds (%d) + %s = %d: the pod would be killed while it drains" $grace (.Values.preStopSeconds | int) $what $needed) -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.memory" -}}
{{- $config := .Values.config -}}
{{- $request := dig "requests" "memory" nil .Values.resources -}}
{{- $limit := dig "limits" "memory" nil .Values.resources -}}
{{- if not $request -}}
{{- fail "resources.requests.memory: is required; the node must have the memory that conversions may use" -}}
{{- end -}}
{{- $bytes := include "image-service.quantity" (list $request "resources.requests.memory") | float64 -}}
{{- if and $limit (ne $bytes (include "image-service.quantity" (list $limit "resources.limits.memory") | float64)) -}}
{{- fail (printf "resources.limits.memory (%v) must equal resources.requests.memory (%v): a pod that uses more than it requested is the first to be evicted" $limit $request) -}}
{{- end -}}
{{- $own := 268435456 -}}
{{- $upload := default 104857600 $config.maxUploadBytes | int64 -}}
{{- $least := 67108864 -}}
{{- $pixels := default 120000000 $config.maxPixels | int64 -}}
{{- if and .converts $config.memoryBudgetBytes (gt (add $own (max $config.memoryBudgetBytes (add $upload $least)) | float64) $bytes) -}}
{{- fail (printf "resources.requests.memory (%s) must hold 256 MiB for the process + config.memoryBudgetBytes (%s), which is at least config.maxUploadBytes (%s) + 64 MiB: the pod would be killed for lack of memory, or not start" (include "image-service.mib" $bytes) (include "image-service.mib" $config.memoryBudgetBytes) (include "image-service.mib" $upload)) -}}
{{- end -}}
{{- $largest := ternary $least (max $least (mul 10 $pixels)) (not (empty $config.memoryBudgetBytes)) -}}
{{- $needed := add $own $upload $largest -}}
{{- if and (not .converts) (gt ($own | float64) $bytes) -}}
{{- fail (printf "resources.requests.memory (%s) must hold 256 MiB for the process" (include "image-service.mib" $bytes)) -}}
{{- end -}}
{{- if and .converts (gt ($needed | float64) $bytes) -}}
{{- fail (printf "resources.requests.memory (%s) must hold 256 MiB for the process + config.maxUploadBytes (%s) + %s for one picture, which is 10 bytes for each of config.maxPixels, and at least 64 MiB = %s: the largest picture that clients may send would be refused, or the pod would not start" (include "image-service.mib" $bytes) (include "image-service.mib" $upload) (include "image-service.mib" $largest) (include "image-service.mib" $needed)) -}}
{{- end -}}
{{- $disk := dig "requests" "ephemeral-storage" nil .Values.resources -}}
{{- $tmp := include "image-service.quantity" (list .Values.tmpSizeLimit "tmpSizeLimit") | float64 -}}
{{- if and $disk (lt (include "image-service.quantity" (list $disk "resources.requests.ephemeral-storage") | float64) $tmp) -}}
{{- fail (printf "resources.requests.ephemeral-storage (%v) must hold tmpSizeLimit (%v): the node would run out of what the pod may write" $disk .Values.tmpSizeLimit) -}}
{{- end -}}
{{- end -}}

{{/* One thread has its share of what is requested, and the time limit for the largest picture: 0.05 CPU seconds a megapixel. */}}
{{- define "image-service.validate.processors" -}}
{{- $config := .Values.config -}}
{{- $threads := include "image-service.threads" . | int -}}
{{- $limit := dig "limits" "cpu" nil .Values.resources -}}
{{- if and .converts $limit -}}
{{- $cpus := include "image-service.quantity" (list $limit "resources.limits.cpu") | float64 -}}
{{- if gt ($threads | float64) (ceil $cpus) -}}
{{- fail (printf "config.workerThreads (%d) must not exceed resources.limits.cpu (%v), rounded up: threads would only slow each other down" $threads $limit) -}}
{{- end -}}
{{- end -}}
{{- $request := default $limit (dig "requests" "cpu" nil .Values.resources) -}}
{{- if and .converts $request -}}
{{- $cpus := include "image-service.quantity" (list $request "resources.requests.cpu") | float64 -}}
{{- $process := default 60 $config.processTimeoutSeconds | float64 -}}
{{- $pixels := default 120000000 $config.maxPixels | float64 -}}
{{- $seconds := divf (mulf $threads $pixels 0.05) 1000000 $cpus -}}
{{- if gt $seconds $process -}}
{{- fail (printf "config.processTimeoutSeconds (%v) must hold %d threads x %v megapixels (config.maxPixels) x 0.05 CPU seconds / %v processors (resources.requests.cpu) = %.0f: the largest pictures would time out on a busy node" $process $threads (divf $pixels 1000000) $cpus $seconds) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.disruption" -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if $budget.enabled -}}
{{- if eq (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable) -}}
{{- fail "podDisruptionBudget: exactly one of minAvailable and maxUnavailable must be set; set the other to null" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.labels" -}}
{{- $own := merge (include "image-service.ownLabels" . | fromYaml) (dict "app.kubernetes.io/component" .component) -}}
{{- $given := dict "podLabels" .Values.podLabels "commonLabels" .Values.commonLabels "metrics.serviceMonitor.labels" .Values.metrics.serviceMonitor.labels "metrics.prometheusRule.labels" .Values.metrics.prometheusRule.labels "metrics.dashboard.labels" .Values.metrics.dashboard.labels "service.labels" .Values.service.labels "ingress.labels" .Values.ingress.labels "httpRoute.labels" .Values.httpRoute.labels -}}
{{- range $value, $labels := $given -}}
{{- range $key, $_ := $labels -}}
{{- if hasKey $own $key -}}
{{- fail (printf "%s: %s is written by the chart itself, whose selectors need it" $value $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A load balancer that sends to pods hears of an end within 15 seconds, and then lets go of what it had for its own delay. */}}
{{- define "image-service.validate.balancer" -}}
{{- $annotations := .Values.ingress.annotations -}}
{{- if and .Values.ingress.enabled (eq (get $annotations "alb.ingress.kubernetes.io/target-type") "ip") -}}
{{- $delay := regexFind "deregistration_delay\\.timeout_seconds=[0-9]+" (get $annotations "alb.ingress.kubernetes.io/target-group-attributes") | trimPrefix "deregistration_delay.timeout_seconds=" | default "300" | int -}}
{{- $http := default 15 .Values.config.httpTimeoutSeconds | int -}}
{{- $stop := include "image-service.stopDelay" . | int -}}
{{- if lt (add (.Values.preStopSeconds | int) $stop | int) (add 15 $delay | int) -}}
{{- fail (printf "preStopSeconds (%v) + config.stopDelaySeconds (%d) must hold 15 seconds until the ALB hears of a pod's end + its deregistration delay (%d; 300 unless alb.ingress.kubernetes.io/target-group-attributes says deregistration_delay.timeout_seconds) = %d: requests would reach a pod that has stopped" .Values.preStopSeconds $stop $delay (add 15 $delay)) -}}
{{- end -}}
{{- if lt $delay $http -}}
{{- fail (printf "ingress.annotations: the deregistration delay (%d) must hold config.httpTimeoutSeconds (%d): the ALB would cut off requests that run" $delay $http) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (eq .Values.ingress.className "alb") -}}
{{- $idle := regexFind "idle_timeout\\.timeout_seconds=[0-9]+" (get $annotations "alb.ingress.kubernetes.io/load-balancer-attributes") | trimPrefix "idle_timeout.timeout_seconds=" | default "60" | float64 -}}
{{- $keepalive := default 75 .Values.config.keepaliveSeconds | float64 -}}
{{- if le $keepalive $idle -}}
{{- fail (printf "config.keepaliveSeconds (%v) must exceed the ALB's idle timeout (%v; 60 unless alb.ingress.kubernetes.io/load-balancer-attributes says idle_timeout.timeout_seconds): it would send requests into connections that are being closed" $keepalive $idle) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.identity" -}}
{{- $account := .Values.serviceAccount -}}
{{- if and $account.roleArn (not $account.create) -}}
{{- fail "serviceAccount.roleArn: has no effect on an account that the chart does not make; annotate that account with eks.amazonaws.com/role-arn, and leave roleArn empty" -}}
{{- end -}}
{{- if and $account.roleArn $account.podIdentity -}}
{{- fail "serviceAccount: roleArn and podIdentity are two ways to a role; set one" -}}
{{- end -}}
{{- $config := .Values.config -}}
{{- if and (eq (default "dev" $config.stage) "prod") (has "none" (include "image-service.text" $config.authModes | splitList ",")) -}}
{{- fail "config.authModes: none lets everybody do everything, and is not for the stage prod" -}}
{{- end -}}
{{- end -}}

{{- define "image-service.validate.origins" -}}
{{- $origins := include "image-service.text" .Values.config.corsOrigins | splitList "," -}}
{{- range $origin := $origins -}}
{{- if not (regexMatch "^\\s*(\\*|[A-Za-z][A-Za-z0-9+.-]*://[^\\s/?#@*]+/?)?\\s*$" $origin) -}}
{{- fail (printf "config.corsOrigins: %q is no origin, which is a scheme, a host without a wildcard and perhaps a port, as in https://app.example.com" $origin) -}}
{{- end -}}
{{- end -}}
{{- if and (has "*" $origins) (gt (len $origins) 1) -}}
{{- fail "config.corsOrigins: * allows every origin, so it goes with no other" -}}
{{- end -}}
{{- end -}}

{{/* The ways to the API and to the metrics. */}}
{{- define "image-service.validate.ways" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: is required when the ingress is enabled; without a name it would take every request of its class" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: is required when the route is enabled; it names the gateway, as in [{name: public}]" -}}
{{- end -}}
{{- $service := .Values.service -}}
{{- if and (ne $service.type "LoadBalancer") (or $service.loadBalancerClass $service.loadBalancerSourceRanges) -}}
{{- fail (printf "service: loadBalancerClass and loadBalancerSourceRanges are for the type LoadBalancer, not %s" $service.type) -}}
{{- end -}}
{{- if and (or .Values.metrics.serviceMonitor.enabled .Values.metrics.prometheusRule.enabled) (not .Values.metrics.enabled) -}}
{{- fail "metrics.enabled: serviceMonitor and prometheusRule need the metrics" -}}
{{- end -}}
{{- if eq (.Values.metrics.port | int) 8080 -}}
{{- fail "metrics.port: 8080 is the API's" -}}
{{- end -}}
{{- end -}}
