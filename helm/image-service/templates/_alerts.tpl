{{/* Alerts, with the section of docs/troubleshooting.md that each leads to. What values say of an alert (`for`, `severity` and
numbers) stands in `.Values.metrics.prometheusRule.alerts` under its name; `each` is that of the alert at hand.

A ratio needs a number of events to mean anything, and an alert on a budget looks at a long and a short time: so that it is not one
bad minute, and that it ends when the trouble does (https://sre.google/workbook/alerting-on-slos/). */}}

{{- define "image-service.alerts" -}}
{{- $job := printf "job=%q,namespace=%q" .Release.Name .Release.Namespace -}}
{{- $pods := printf "namespace=%q,pod=~%q" .Release.Namespace (printf "%s-.+" (include "image-service.fullname" .)) -}}
{{- $scaler := printf "namespace=%q,horizontalpodautoscaler=~%q" .Release.Namespace (printf "(keda-hpa-)?%s(-worker)?" (include "image-service.fullname" .)) -}}
{{- $api := printf "%s,route!~\"/images/(health|ready|live)\"" $job -}}
{{- $values := .Values.metrics.prometheusRule.alerts -}}
- alert: ImageServiceNotPolling
  runbook: health-says-503
  expr: max(truss_worker_polling{ {{- $job -}} }) == 0 or absent(truss_worker_polling{ {{- $job -}} })
  summary: No pod hears from the queue
  description: >-
    Uploads wait. Look at the logs for "Queue unavailable" and "Circuit opened", at the role of the service account, and at
    whether there are pods at all.
{{- with $values.ImageServiceQueueOld }}
- alert: ImageServiceQueueOld
  runbook: the-queue-grows
  expr: max(truss_queue_oldest_message_age_seconds{ {{- $job -}} }) > {{ .seconds }}
  summary: Uploads wait for {{ .seconds }} seconds and longer
  description: >-
    Are there as many pods as maxReplicas lets there be? Has the cluster nodes for them? Does what scales them see the queue?
{{- end }}
- alert: ImageServiceQueueUnseen
  runbook: the-queue-grows
  expr: absent(truss_queue_messages{ {{- $job -}} })
  summary: Nobody knows how many uploads wait
  description: >-
    Without it, alerts on the queue are silent, and an HPA on its depth stands still. The log says "Queues not looked at"; is
    sqs:GetQueueAttributes granted, and does Prometheus reach the pods?
{{- with $values.ImageServiceDeadLetters }}
- alert: ImageServiceDeadLetters
  runbook: messages-are-in-the-dead-letter-queue
  expr: max(truss_dead_letter_messages{ {{- $job -}} }) > {{ .messages }}
  summary: Messages that nobody could handle lie in the dead-letter queue
  description: >-
    Their jobs failed as "unavailable", or they cannot be read. Find the cause, mend it, redrive them. A user's broken file never
    ends here.
{{- end }}
{{- with $values.ImageServiceNothingFinishes }}
- alert: ImageServiceNothingFinishes
  runbook: the-queue-grows
  expr: >-
    max(truss_queue_messages{ {{- $job -}} ,state="visible"}) > {{ .messages }}
    unless sum(rate(truss_events_total{ {{- $job -}} }[{{ .window }}])) > 0
  summary: Uploads wait, and none comes to an end
  description: >-
    Not one event has ended in {{ .window }}. Pods may hang, or give everything back: see truss_messages_total by end, and the logs.
{{- end }}
{{- with $values.ImageServiceCircuitOpen }}
- alert: ImageServiceCircuitOpen
  runbook: health-says-503
  expr: max(1 - avg_over_time(truss_circuit_state{ {{- $job -}} ,state="closed"}[{{ .window }}])) > {{ .part }}
  summary: A dependency is away, or comes and goes
  description: >-
    For more than {{ .part }} of the last {{ .window }} a pod took no messages. They wait until AWS answers again, and none is lost.
    The logs name the call that fails ("Dependency unavailable", "AWS call failed").
{{- end }}
{{- with $values.ImageServiceJobsFail }}
- alert: ImageServiceJobsFail
  runbook: processing-failed
  expr: >-
    sum(rate(truss_events_total{ {{- $job -}} ,outcome="failed",code=~{{ .codes | quote }}}[{{ .window }}]))
    / sum(rate(truss_events_total{ {{- $job -}} ,outcome=~"completed|failed"}[{{ .window }}])) > {{ .part }}
    and sum(increase(truss_events_total{ {{- $job -}} ,outcome=~"completed|failed"}[{{ .window }}])) >= {{ .least }}
  summary: Jobs fail through no fault of their files
  description: >-
    sum by (code) (rate(truss_events_total{outcome="failed"}[15m])) says why. Only {{ .codes }} count here: the others are a file's own
    trouble. They can be redriven once the cause is mended.
{{- end }}
{{- with $values.ImageServiceConversionsBreak }}
- alert: ImageServiceConversionsBreak
  runbook: messages-are-in-the-dead-letter-queue
  expr: sum(increase(truss_messages_total{ {{- $job -}} ,end="broken"}[{{ .window }}])) > {{ .messages }}
  summary: Conversions meet a defect
  description: >-
    The log says "Conversion broke" with a trace. The messages come back, and end in the dead-letter queue.
{{- end }}
{{- with $values.ImageServiceSlowToServe }}
{{- $count := printf "truss_variant_stored_seconds_count{%s,variant=\"thumbnail\"}" $job }}
{{- $soon := printf "truss_variant_stored_seconds_bucket{%s,variant=\"thumbnail\",le=~\"%v(\\\\.0)?\"}" $job .seconds }}
{{- range $pace := include "image-service.paces" . | fromYamlArray }}
- alert: ImageServiceSlowToServe
  runbook: the-queue-grows
  severity: {{ $pace.severity }}
  expr: >-
    {{- range $window := list $pace.long $pace.short }}
    1 - sum(rate({{ $soon }}[{{ $window }}])) / sum(rate({{ $count }}[{{ $window }}])) > {{ $pace.part }}
    and
    {{- end }}
    sum(increase({{ $count }}[{{ $pace.long }}])) >= {{ $values.ImageServiceSlowToServe.least }}
  summary: Thumbnails come later than promised
  description: >-
    {{ $values.ImageServiceSlowToServe.objective }} of them shall be there {{ $values.ImageServiceSlowToServe.seconds }} seconds after their upload; those of the last {{ $pace.long }} use up
    what may be late {{ $pace.burn }} times too fast. More pods, or is something else slow? truss_conversion_step_seconds tells.
{{- end }}
{{- end }}
{{- with $values.ImageServiceApiFails }}
{{- range $pace := include "image-service.paces" . | fromYamlArray }}
- alert: ImageServiceApiFails
  runbook: the-api-answers-500-or-503
  severity: {{ $pace.severity }}
  expr: >-
    {{- range $window := list $pace.long $pace.short }}
    sum(rate(truss_http_request_seconds_count{ {{- $api -}} ,status=~"5.."}[{{ $window }}]))
    / sum(rate(truss_http_request_seconds_count{ {{- $api -}} }[{{ $window }}])) > {{ $pace.part }}
    and
    {{- end }}
    sum(increase(truss_http_request_seconds_count{ {{- $api -}} }[{{ $pace.long }}])) >= {{ $values.ImageServiceApiFails.least }}
  summary: Requests end in 5xx more often than promised
  description: >-
    {{ $values.ImageServiceApiFails.objective }} of them shall succeed; those of the last {{ $pace.long }} use up what may fail {{ $pace.burn }} times too fast. 503
    means that AWS is away: see the logs for "AWS call failed". 500 is a defect: "Request failed" has its trace.
{{- end }}
{{- end }}
{{- with $values.ImageServiceWebhooksFail }}
{{- $tries := printf "truss_webhook_deliveries_total{%s,code!~\"webhook_off|webhook_deleted|image_deleted|variant_gone\"}" $job }}
{{- $failed := printf "truss_webhook_deliveries_total{%s,end!=\"delivered\",code!~\"webhook_off|webhook_deleted|image_deleted|variant_gone\"}" $job }}
- alert: ImageServiceWebhooksFail
  runbook: webhooks-fail-or-come-late
  expr: >-
    sum(rate({{ $failed }}[{{ .window }}])) / sum(rate({{ $tries }}[{{ .window }}])) > {{ .part }}
    and sum(increase({{ $tries }}[{{ .window }}])) >= {{ .least }}
  summary: Most tries to deliver to webhooks fail
  description: >-
    sum by (code) (rate(truss_webhook_deliveries_total{end!="delivered"}[15m])) says why. Of many webhooks at once, our way to the Internet
    is at fault (networkPolicy.egress, NAT, DNS); of one, its receiver. They are tried for a day.
{{- end }}
{{- with $values.ImageServiceWebhooksLate }}
- alert: ImageServiceWebhooksLate
  runbook: webhooks-fail-or-come-late
  expr: >-
    1 - sum(rate(truss_webhook_wait_seconds_bucket{ {{- $job -}} ,le=~"{{ .seconds }}(\\.0)?"}[{{ .window }}]))
    / sum(rate(truss_webhook_wait_seconds_count{ {{- $job -}} }[{{ .window }}])) > {{ .part }}
    and sum(increase(truss_webhook_wait_seconds_count{ {{- $job -}} }[{{ .window }}])) >= {{ .least }}
  summary: Webhooks are told more than {{ .seconds }} seconds late
  description: >-
    More than {{ .part }} of the tries of the last {{ .window }}. Deliveries share the queue with uploads: is it behind? Else one receiver is
    slow, and it is its own deliveries that wait.
{{- end }}
{{- with $values.ImageServiceWebhookOff }}
- alert: ImageServiceWebhookOff
  runbook: webhooks-fail-or-come-late
  expr: sum by (reason) (increase(truss_webhooks_switched_off_total{ {{- $job -}} }[{{ .window }}])) > {{ .webhooks }}
  summary: A webhook was switched off
  description: >-
    Its tenant hears nothing any more. The log line "Webhook switched off" names it; tell the tenant, who can switch it on again and
    replay what failed.
{{- end }}
{{- with $values.ImageServiceReviewsWait }}
- alert: ImageServiceReviewsWait
  runbook: images-wait-for-a-review
  expr: max(truss_held_oldest_age_seconds{ {{- $job -}} }) > {{ mulf .hours 3600.0 | printf "%.0f" }}
  summary: An image has waited for a review for more than {{ .hours }} hours
  description: >-
    Nobody sees it until somebody decides: truss-image review list. truss_held_images says how many there are, and
    sum by (reason) (increase(truss_held_total[1d])) why.
{{- end }}
{{- with $values.ImageServiceMemoryHigh }}
- alert: ImageServiceMemoryHigh
  runbook: pods-restart
  expr: max(process_resident_memory_bytes{ {{- $job -}} } / truss_memory_limit_bytes{ {{- $job -}} }) > {{ .part }}
  summary: A pod is near its limit of memory
  description: >-
    It will be killed, and its messages come back. Raise resources, or set config.memoryBudgetBytes to less
    than the limit leaves.
{{- end }}
{{- with $values.ImageServiceRestarts }}
- alert: ImageServiceRestarts
  runbook: pods-restart
  expr: max(increase(kube_pod_container_status_restarts_total{ {{- $pods -}} ,container="image-service"}[{{ .window }}])) > {{ .restarts }}
  summary: A pod restarts again and again
  description: >-
    kubectl describe pod says why: OOMKilled, a probe, or an exit code. Needs kube-state-metrics.
{{- end }}
- alert: ImageServiceAtMaxReplicas
  runbook: the-queue-grows
  expr: >-
    max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_desired_replicas{ {{- $scaler -}} })
    >= max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_max_replicas{ {{- $scaler -}} })
  summary: There are as many pods as there may be
  description: >-
    What comes now waits longer, and a flood costs no more. Raise maxReplicas if the load is meant. Needs kube-state-metrics.
{{- end -}}

{{/* How fast a budget may burn: in an hour what is meant for a day and a half wakes somebody, in six hours what is meant for one and
a half is a ticket. */}}
{{- define "image-service.paces" -}}
{{- $budget := subf 1.0 .objective -}}
- { severity: critical, long: 1h, short: 5m, burn: {{ .fastBurn }}, part: {{ mulf .fastBurn $budget | printf "%.6g" }} }
- { severity: warning, long: 6h, short: 30m, burn: {{ .slowBurn }}, part: {{ mulf .slowBurn $budget | printf "%.6g" }} }
{{- end -}}
