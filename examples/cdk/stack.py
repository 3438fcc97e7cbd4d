"""The stack of one stage, from the CDK: `pip install aws-cdk-lib`, and `cdk deploy --app 'python stack.py'`."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import cloudformation_include as include
from constructs import Construct

TEMPLATE = Path(__file__).parents[2] / "infra" / "cloudformation" / "image-service.yaml"


class Images(cdk.Stack):
    """All resources of the template, under their own names: it stays the one place that says what is in it."""

    def __init__(self, scope: Construct, stage: str, *, pod_identity_cluster: str, cors_origins: list[str]) -> None:
        # Without CDK's own rule, the template stays as it is.
        super().__init__(
            scope,
            f"truss-image-{stage}",
            synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
        )
        self.template = include.CfnInclude(
            self,
            "Template",
            template_file=str(TEMPLATE),
            preserve_logical_ids=True,
        )
        parameters = {
            "Stage": stage,
            "PodIdentityCluster": pod_identity_cluster,
            "CorsOrigins": ",".join(cors_origins),
        }
        # They stay parameters, which `cdk deploy --parameters` can set, too.
        for name, value in parameters.items():
            self.template.get_parameter(name).default = value

    @property
    def cloudfront_url(self) -> str:
        """Where variants are delivered from."""
        return str(self.template.get_output("CloudfrontUrl").value)


if __name__ == "__main__":
    app = cdk.App()
    Images(app, "dev", pod_identity_cluster="apps", cors_origins=["https://app.example.com"])
    app.synth()
