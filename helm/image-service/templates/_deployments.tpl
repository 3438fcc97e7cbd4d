{{/* The deployments of a release, and what follows from their size. */}}

{{/* Writes `.deployments`: one whose pods do both, or the API's and the worker's. Each is like the whole chart, with values of its
own. `answers` and `converts` say what its pods do. Nothing renders past what contradicts itself. */}}
{{- define "image-service.deployments" -}}
{{- if not (hasKey . "deployments") -}}
{{- $common := dict "Chart" .Chart "Release" .Release "Capabilities" .Capabilities "Template" .Template "Files" .Files -}}
{{- $separate := .Values.worker.separate -}}
{{- $server := merge (dict "Values" .Values "component" "server" "suffix" "" "answers" true "converts" (not $separate)) $common -}}
{{- $deployments := list $server -}}
{{- if $separate -}}
{{- $values := deepCopy .Values -}}
{{- include "image-service.overlay" (list $values .Values.worker.values) -}}
{{- $deployments = append $deployments (merge (dict "Values" $values "component" "worker" "suffix" "-worker" "answers" false "converts" true) $common) -}}
{{- end -}}
{{- $_ := set . "deployments" $deployments -}}
{{- include "image-service.validate" . -}}
{{- end -}}
{{- end -}}

{{/* Writes the second map over the first, key by key. (`mergeOverwrite` would not write false, 0 or "".) */}}
{{- define "image-service.overlay" -}}
{{- $under := first . -}}
{{- range $key, $value := last . -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $under $key)) -}}
{{- include "image-service.overlay" (list (get $under $key) $value) -}}
{{- else -}}
{{- $_ := set $under $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The variables that tell a pod what it is for, where not every pod is for everything. No load balancer has to forget a worker. */}}
{{- define "image-service.roles" -}}
{{- if and .component (not (and .answers .converts)) }}
- name: ROLES
  value: {{ ternary "api" "worker" .answers }}
{{- if not .answers }}
- name: STOP_DELAY_SECONDS
  value: "0"
{{- end }}
{{- else -}}
[]
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
{{- if and .converts $keda.fallback -}}
{{- $twice := min (mul 2 ($keda.minReplicas | int)) ($keda.maxReplicas | int) -}}
{{- merge (dict "replicas" (default $twice $keda.fallback.replicas | int)) $keda.fallback | toYaml -}}
{{- end -}}
{{- end -}}

{{/* Images converted at once by a pod: its limit of processors, or twice what it requests. */}}
{{- define "image-service.threads" -}}
{{- $limit := dig "limits" "cpu" nil .Values.resources -}}
{{- $request := dig "requests" "cpu" 1 .Values.resources -}}
{{- $cpus := mulf 2 (include "image-service.quantity" (list (default 1 $request) "resources.requests.cpu") | float64) -}}
{{- if $limit -}}
{{- $cpus = include "image-service.quantity" (list $limit "resources.limits.cpu") | float64 -}}
{{- end -}}
{{- default (max 1 (ceil $cpus | int)) .Values.config.workerThreads | int -}}
{{- end -}}

{{/* Messages that a pod has in work at once, as the service counts them. */}}
{{- define "image-service.slots" -}}
{{- default (add (include "image-service.threads" . | int) 1) .Values.config.workerSlots | int -}}
{{- end -}}

{{/* Settings that follow from the size of the pods that convert. Of a pod without a limit the service would take 1 GiB; and one that
does not convert tells callers what the others may take. */}}
{{- define "image-service.sized" -}}
{{- with last .deployments -}}
workerThreads: {{ include "image-service.threads" . | quote }}
{{- if not (and .answers (dig "limits" "memory" nil .Values.resources)) }}
memoryBudgetBytes: {{ sub (include "image-service.quantity" (list (dig "requests" "memory" nil .Values.resources) "resources.requests.memory") | float64 | int64) 268435456 | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Seconds for which requests are answered after the order to stop. */}}
{{- define "image-service.stopDelay" -}}
{{- $delay := .Values.config.stopDelaySeconds -}}
{{- ternary 15 $delay (kindIs "invalid" $delay) | float64 | ceil | int -}}
{{- end -}}

{{/* Seconds that a pod needs to end. Conversions are drained while requests are still answered. */}}
{{- define "image-service.stopping" -}}
{{- $config := .Values.config -}}
{{- $requests := ternary (add (include "image-service.stopDelay" . | int) (default 15 $config.httpTimeoutSeconds | int)) 0 .answers -}}
{{- $conversions := ternary (default 75 $config.drainSeconds | int) 0 .converts -}}
{{- add (.Values.preStopSeconds | int) (max $requests $conversions) -}}
{{- end -}}

{{- define "image-service.gracePeriod" -}}
{{- default (add (include "image-service.stopping" . | int) 5) .Values.terminationGracePeriodSeconds | int64 -}}
{{- end -}}

{{/* The number of pods, and whether this release says it. What scales says it; but a release that once said it goes on saying what
it is by now, because to fall silent would mean one pod, until the autoscaler looks. */}}
{{- define "image-service.replicas" -}}
{{- $name := printf "%s%s" (include "image-service.fullname" .) .suffix -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace $name -}}
{{- if not (include "image-service.scaler" .) -}}
{{- int64 .Values.replicaCount -}}
{{- else if and $live (dig "metadata" "annotations" "truss-image/says-replicas" "" $live) -}}
{{- $live.spec.replicas -}}
{{- end -}}
{{- end -}}
