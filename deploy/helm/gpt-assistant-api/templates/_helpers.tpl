{{/* What everything of a release is called. */}}
{{- define "gpt-assistant-api.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a selector sees: never changed, or upgrades fail. Takes (list . "server"). */}}
{{- define "gpt-assistant-api.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels. Takes (list . "server"). */}}
{{- define "gpt-assistant-api.labels" -}}
{{- $root := index . 0 -}}
{{ include "gpt-assistant-api.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "gpt-assistant-api.serviceAccountName" -}}
{{- default (include "gpt-assistant-api.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "gpt-assistant-api.image" -}}
{{- $tagged := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- with .Values.image.digest -}}
{{- printf "%s@%s" $tagged . -}}
{{- else -}}
{{- $tagged -}}
{{- end -}}
{{- end -}}

{{/* The pod's half of running without rights. */}}
{{- define "gpt-assistant-api.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* The container's half: what is common to all of them. */}}
{{- define "gpt-assistant-api.container" -}}
image: {{ include "gpt-assistant-api.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: data
    mountPath: /data
  - name: secrets
    mountPath: /run/secrets/gpt-assistant-api
    readOnly: true
{{- end -}}

{{/* Settings that are no secrets, in the environment: a change of them replaces the pods. */}}
{{- define "gpt-assistant-api.env" -}}
- name: SECRETS_DIR
  value: /run/secrets/gpt-assistant-api
- name: DATA_DIR
  value: /data
{{- if .Values.metrics.enabled }}
- name: METRICS_PORT
  value: {{ .Values.metrics.port | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{/* Nothing in /data lasts: it is for uploads while they are received. */}}
{{- define "gpt-assistant-api.volumes" -}}
- name: data
  emptyDir: {}
- name: secrets
  secret:
    secretName: {{ required "existingSecret is needed: see docs/operating/kubernetes.md" .Values.existingSecret }}
    defaultMode: 0440
{{- end -}}
