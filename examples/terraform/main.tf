# The stack of one stage, from Terraform. The template stays the one place that says what is in it.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "stage" {
  description = "Part of every name."
  type        = string
  default     = "dev"
}

variable "oidc_provider" {
  description = "Issuer of the EKS cluster without https://; empty for EKS Pod Identity."
  type        = string
  default     = ""
}

variable "pod_identity_cluster" {
  description = "Name of the EKS cluster, where pods get their role by EKS Pod Identity."
  type        = string
  default     = ""
}

variable "cors_origins" {
  description = "Origins whose pages may upload."
  type        = list(string)
  default     = []
}

variable "event_bus_name" {
  description = "EventBridge bus that is told what happens to images; empty for none."
  type        = string
  default     = ""
}

variable "deletion_protection" {
  description = "Set it after the stack was created."
  type        = bool
  default     = false
}

resource "aws_cloudformation_stack" "images" {
  name = "truss-image-${var.stage}"
  # CloudFormation takes 51,200 bytes as a text, and the template has fewer: it needs no bucket.
  template_body = file("${path.module}/../../infra/cloudformation/image-service.yaml")
  capabilities  = ["CAPABILITY_NAMED_IAM"]

  parameters = {
    Stage              = var.stage
    OidcProvider       = var.oidc_provider
    PodIdentityCluster = var.pod_identity_cluster
    CorsOrigins        = join(",", var.cors_origins)
    EventBusName       = var.event_bus_name
    DeletionProtection = tostring(var.deletion_protection)
  }
}

output "source_bucket" {
  value = aws_cloudformation_stack.images.outputs["SourceBucket"]
}

output "cloudfront_url" {
  value = aws_cloudformation_stack.images.outputs["CloudfrontUrl"]
}

output "service_role_arn" {
  description = "For the chart: see infra/values.py, which makes all values of the outputs."
  value       = lookup(aws_cloudformation_stack.images.outputs, "ServiceRoleArn", null)
}
