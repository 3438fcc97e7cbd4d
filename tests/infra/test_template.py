"""The CloudFormation template: what it makes, and that the local mode makes the same."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.stores import schema
from processor.stores.schema import Names
from service.auth.principal import Scope
from service.config import Settings
from service.http.urls import origin
from tests.infra.template import ACCOUNT_ID, PATH, REGION, Stack, complaints, load, replacing_properties

ORIGINS = "https://app.example,https://admin.example"
CLUSTER = {"OidcProvider": "oidc.eks.eu-west-1.amazonaws.com/id/ABC123"}
NAMES = Names.of_stage("dev", ACCOUNT_ID)
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{NAMES.queue}"
DEAD_LETTER_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT_ID}:{NAMES.dead_letter_queue}"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{NAMES.table}"
DISTRIBUTION_ARN = f"arn:aws:cloudfront::{ACCOUNT_ID}:distribution/<Distribution>"
BUCKETS = ("SourceBucket", "ProcessedBucket", "LogsBucket")

#: Renaming one of these replaces what it names, with the data in it; a new one is added here.
LOGICAL_IDS = [
    "AdminGroup",
    "ApiErrorsAlarm",
    "CompletedJobs",
    "Dashboard",
    "DeadLetterQueue",
    "DeadLetterQueuePolicy",
    "DeadLettersAlarm",
    "DeleteGroup",
    "Distribution",
    "DistributionErrorsAlarm",
    "EventQueue",
    "EventQueuePolicy",
    "FailedJobs",
    "FailedJobsAlarm",
    "LogsBucket",
    "LogsBucketPolicy",
    "OldestMessageAlarm",
    "OriginAccessControl",
    "PodIdentity",
    "PositionGroup",
    "ProcessedBucket",
    "ProcessedBucketPolicy",
    "ProcessingTable",
    "ReadGroup",
    "ResponseHeaders",
    "ReviewGroup",
    "ScalerPolicy",
    "ServicePolicy",
    "ServiceRole",
    "SourceBucket",
    "SourceBucketPolicy",
    "ThrottlesAlarm",
    "UserPool",
    "UserPoolClient",
    "UserPoolDomain",
    "WriteGroup",
]


#: The properties of each type that make a new resource when they change: names, keys, and what says whose it is. AWS
#: refuses to make a new one of a name that there is, so none of these may say anything that somebody would word anew.
REPLACING = {
    "AWS::Cognito::UserPoolDomain": {"Domain", "UserPoolId"},
    "AWS::Cognito::UserPoolClient": {"GenerateSecret", "UserPoolId"},
    "AWS::Cognito::UserPoolGroup": {"GroupName", "UserPoolId"},
    "AWS::CloudWatch::Alarm": {"AlarmName"},
    "AWS::CloudWatch::Dashboard": {"DashboardName"},
    "AWS::DynamoDB::Table": {"TableName"},
    # It has no name of ours, so AWS makes a new one.
    "AWS::EC2::SecurityGroup": {"GroupDescription", "VpcId"},
    "AWS::EC2::VPCEndpoint": {"ServiceName", "VpcEndpointType", "VpcId"},
    "AWS::ECR::Repository": {"EncryptionConfiguration", "RepositoryName"},
    "AWS::EKS::PodIdentityAssociation": {"ClusterName", "Namespace", "ServiceAccount"},
    "AWS::IAM::ManagedPolicy": {"ManagedPolicyName"},
    "AWS::IAM::OIDCProvider": {"Url"},
    "AWS::IAM::Role": {"RoleName"},
    "AWS::Logs::MetricFilter": {"LogGroupName"},
    "AWS::S3::Bucket": {"BucketName"},
    "AWS::S3::BucketPolicy": {"Bucket"},
    "AWS::SQS::Queue": {"QueueName"},
}
#: The longest template that the AWS CLI sends by itself, in bytes (AWS, "CloudFormation quotas").
LONGEST_TEMPLATE = 51_200
TEMPLATES = sorted(PATH.parent.glob("*.yaml"))


@pytest.fixture
def stack() -> Stack:
    return Stack()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_no_finding_and_ignores_none(path: Path) -> None:
    assert complaints(path) == []
    assert "cfn-lint" not in path.read_text()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_needs_no_bucket_to_be_sent(path: Path) -> None:
    assert path.stat().st_size <= LONGEST_TEMPLATE


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_no_change_of_words_makes_a_new_resource(path: Path) -> None:
    for resource in load(path)["Resources"].values():
        replacing = replacing_properties(resource["Type"]) & resource.get("Properties", {}).keys()
        assert replacing == REPLACING.get(resource["Type"], set()) & resource.get("Properties", {}).keys(), resource


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_every_parameter_says_what_it_takes(path: Path) -> None:
    for name, parameter in load(path)["Parameters"].items():
        checked = {"AllowedPattern", "AllowedValues", "MinValue"} & parameter.keys()
        assert checked or "AWS::" in parameter["Type"], name
        assert ("ConstraintDescription" in parameter) is bool(checked - {"AllowedValues"}), name
        for default in [parameter["Default"]] if "Default" in parameter and "AllowedPattern" in parameter else []:
            assert re.fullmatch(parameter["AllowedPattern"], default), name


def test_logical_ids_never_change(stack: Stack) -> None:
    assert sorted(stack.template["Resources"]) == LOGICAL_IDS


# -- one truth with the local mode


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_everything_is_called_as_the_service_calls_it(stage: str) -> None:
    names, stack = Names.of_stage(stage, ACCOUNT_ID), Stack({"Stage": stage})
    assert stack.resource("SourceBucket")["BucketName"] == names.source_bucket
    assert stack.resource("ProcessedBucket")["BucketName"] == names.processed_bucket
    assert stack.resource("ProcessingTable")["TableName"] == names.table
    assert stack.resource("EventQueue")["QueueName"] == names.queue
    assert stack.resource("DeadLetterQueue")["QueueName"] == names.dead_letter_queue


def test_the_table_and_its_indexes_are_those_of_the_local_mode(stack: Stack) -> None:
    made = stack.resource("ProcessingTable")
    wanted = schema.table_definition(NAMES.table)
    assert {name: made[name] for name in wanted} == wanted
    assert made["TimeToLiveSpecification"] == {"AttributeName": schema.TTL, "Enabled": True}


def test_the_queues_are_those_of_the_local_mode(stack: Stack) -> None:
    wanted = schema.queue_attributes(NAMES, QUEUE_ARN, DEAD_LETTER_ARN)
    made = stack.resource("EventQueue")
    for name in ("VisibilityTimeout", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds"):
        assert str(made[name]) == wanted[name]
    assert made["RedrivePolicy"] == json.loads(wanted["RedrivePolicy"])
    (sends, _) = stack.resource("EventQueuePolicy")["PolicyDocument"]["Statement"]
    assert [sends] == json.loads(wanted["Policy"])["Statement"]
    dead = stack.resource("DeadLetterQueue")
    assert {"MessageRetentionPeriod": str(dead["MessageRetentionPeriod"])} == schema.dead_letter_attributes()


def test_the_source_bucket_tells_the_queue_what_it_tells_it_locally(stack: Stack) -> None:
    (made,) = stack.resource("SourceBucket")["NotificationConfiguration"]["QueueConfigurations"]
    (wanted,) = schema.notification(QUEUE_ARN)["QueueConfigurations"]
    assert (made["Queue"], [made["Event"]]) == (wanted["QueueArn"], wanted["Events"])
    rules = {rule["Name"]: rule["Value"] for rule in made["Filter"]["S3Key"]["Rules"]}
    assert rules == {rule["Name"]: rule["Value"] for rule in wanted["Filter"]["Key"]["FilterRules"]}


def test_pages_of_the_configured_origins_may_upload_as_they_may_locally() -> None:
    (made,) = Stack({"CorsOrigins": ORIGINS}).resource("SourceBucket")["CorsConfiguration"]["CorsRules"]
    (wanted,) = schema.cors(ORIGINS.split(","))["CORSRules"]
    names = {"ExposeHeaders": "ExposedHeaders", "MaxAgeSeconds": "MaxAge"}
    assert made == {names.get(name, name): value for name, value in wanted.items()}


@pytest.mark.parametrize(
    ("written", "taken"),
    [
        ("", True),
        ("*", True),
        ("https://app.example.com", True),
        ("http://localhost:3000", True),
        ("capacitor://localhost", True),
        ("https://xn--bcher-kva.example", True),
        ("https://app.example.com/", False),
        ("https://App.example.com", False),
        ("https://app.example.com:443", False),
        ("http://app.example.com:80", False),
        ("https://*.example.com", False),
        ("https://bücher.example", False),
        ("app.example.com", False),
        ("null", False),
    ],
)
def test_the_stack_takes_an_origin_only_as_a_browser_sends_it(written: str, *, taken: bool) -> None:
    pattern = load()["Parameters"]["CorsOrigins"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, written)) is taken
    if taken and written:
        assert origin(written) == written


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({}, []),
        ({"CorsOrigins": "*"}, []),
        ({"CorsOrigins": ORIGINS}, []),
        ({"CorsOrigins": f"*,{ORIGINS}"}, ["The origin * allows every other one, so it goes with no other."]),
        ({"DomainName": "images.example.com"}, ["DomainName and CertificateId go together."]),
    ],
)
def test_parameters_that_contradict_each_other_make_no_stack(parameters: dict[str, str], refused: list[str]) -> None:
    assert Stack(parameters).refusals() == refused


def test_no_page_may_upload_unless_its_origin_was_named(stack: Stack) -> None:
    assert "CorsConfiguration" not in stack.resource("SourceBucket")
    assert "CorsConfig" not in stack.resource("ResponseHeaders")["ResponseHeadersPolicyConfig"]


def _rights(statements: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {right for each in statements for right in product(each["Action"], each["Resource"])}


def test_the_service_has_the_rights_of_the_local_mode_and_no_others(stack: Stack) -> None:
    wanted = schema.service_policy(NAMES, QUEUE_ARN, DEAD_LETTER_ARN, TABLE_ARN, DISTRIBUTION_ARN)
    assert _rights(stack.statements("ServicePolicy")) == _rights(wanted["Statement"])


def test_the_service_may_tell_a_bus_if_there_is_one_and_no_other() -> None:
    bus = f"arn:aws:events:{REGION}:{ACCOUNT_ID}:event-bus/images"
    wanted = schema.service_policy(NAMES, QUEUE_ARN, DEAD_LETTER_ARN, TABLE_ARN, DISTRIBUTION_ARN, bus_arn=bus)
    stack = Stack({"EventBusName": "images"})
    assert _rights(stack.statements("ServicePolicy")) == _rights(wanted["Statement"])
    assert stack.outputs()["EventBus"] == "images"
    assert "EventBus" not in Stack().outputs()


def test_every_right_of_the_service_says_what_it_is_for() -> None:
    text = PATH.read_text()
    policy = text[text.index("  ServicePolicy:") : text.index("  # KEDA's operator")]
    actions = re.findall(r"^ +(?:- |Action: )([a-z0-9]+:\w+)(.*)$", policy, re.MULTILINE)
    assert {action for action, _ in actions} == {
        right for right, _ in _rights(Stack({"EventBusName": "default"}).statements("ServicePolicy"))
    }
    previous = ""
    for action, comment in actions:
        # The version of an action has its reason in the line above.
        assert re.match(r" # \w+", comment) or action.startswith(previous), action
        previous = action


# -- nothing is public, nothing is lost


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_private_encrypted_and_survives_its_stack(stack: Stack, bucket: str) -> None:
    made = stack.resource(bucket)
    assert made["PublicAccessBlockConfiguration"] == schema.public_access_block()
    (rule,) = made["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    described = stack.template["Resources"][bucket]
    assert (described["DeletionPolicy"], described["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


@pytest.mark.parametrize("policy", ["SourceBucket", "ProcessedBucket", "LogsBucket", "EventQueue", "DeadLetterQueue"])
def test_nothing_is_reached_without_tls(stack: Stack, policy: str) -> None:
    (deny,) = [each for each in stack.statements(f"{policy}Policy") if each["Effect"] == "Deny"]
    assert deny["Principal"] == "*"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    kind = "sqs" if policy.endswith("Queue") else "s3"
    assert deny["Action"] == [f"{kind}:*"]
    assert len(deny["Resource"]) == (1 if kind == "sqs" else 2)


def test_whoever_is_allowed_anything_by_a_resource_is_a_service_of_aws_on_behalf_of_this_account(stack: Stack) -> None:
    policies = [*stack.resources("AWS::S3::BucketPolicy"), *stack.resources("AWS::SQS::QueuePolicy")]
    allowing = [each for policy in policies for each in stack.statements(policy) if each["Effect"] == "Allow"]
    principals = [each["Principal"]["Service"] for each in allowing]
    assert sorted(principals) == ["cloudfront.amazonaws.com", "s3.amazonaws.com"]
    assert all(ACCOUNT_ID in json.dumps(each["Condition"]) for each in allowing)


@pytest.mark.parametrize("queue", ["EventQueue", "DeadLetterQueue"])
def test_messages_are_encrypted(stack: Stack, queue: str) -> None:
    assert stack.resource(queue)["SqsManagedSseEnabled"] is True


def test_only_the_queue_may_fill_the_dead_letter_queue(stack: Stack) -> None:
    assert stack.resource("DeadLetterQueue")["RedriveAllowPolicy"] == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [QUEUE_ARN],
    }


@pytest.mark.parametrize("stage", ["dev", "prod"])
@pytest.mark.parametrize("protected", [False, True])
def test_the_table_can_be_restored_and_cannot_be_deleted_once_it_is_protected(stage: str, protected: bool) -> None:
    # A creation that fails must be able to delete what it has made, in prod too.
    asked = {"DeletionProtection": "true"} if protected else {}
    stack = Stack({"Stage": stage, "CreateUserPool": "true", **asked})
    made = stack.resource("ProcessingTable")
    assert made["DeletionProtectionEnabled"] is protected
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert stack.resource("UserPool")["DeletionProtection"] == ("ACTIVE" if protected else "INACTIVE")
    for name in ("ProcessingTable", "UserPool"):
        described = stack.template["Resources"][name]
        assert (described["DeletionPolicy"], described["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_unfinished_uploads_old_versions_and_expired_sources_go() -> None:
    rules = {
        rule["Id"]: rule
        for rule in Stack({"SourceExpirationDays": 30, "NoncurrentVersionDays": 3}).resource("SourceBucket")[
            "LifecycleConfiguration"
        ]["Rules"]
    }
    (local,) = schema.lifecycle()["Rules"]
    assert (
        rules["abort-unfinished-uploads"]["AbortIncompleteMultipartUpload"] == local["AbortIncompleteMultipartUpload"]
    )
    assert rules["forget-old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 3}
    assert (rules["expire-sources"]["Prefix"], rules["expire-sources"]["ExpirationInDays"]) == ("uploads/", 30)


def _rules(bucket: str, **parameters: Any) -> dict[str, Any]:
    found = Stack(parameters).resource(bucket)["LifecycleConfiguration"]["Rules"]
    return {rule["Id"]: rule for rule in found}


@pytest.mark.parametrize(
    ("bucket", "thing", "prefix"),
    [("SourceBucket", "Source", "uploads/"), ("ProcessedBucket", "Variant", None)],
)
@pytest.mark.parametrize("storage_class", ["INTELLIGENT_TIERING", "STANDARD_IA", "GLACIER_IR"])
def test_pictures_may_change_their_class_and_expire(
    bucket: str, thing: str, prefix: str | None, storage_class: str
) -> None:
    rules = _rules(bucket, **{f"{thing}StorageClass": storage_class, f"{thing}ExpirationDays": 400})
    moved, expired = rules[f"move-{thing.lower()}s"], rules[f"expire-{thing.lower()}s"]
    assert (moved.get("Prefix"), expired.get("Prefix")) == (prefix, prefix)  # None: whatever lies there
    assert moved["Transitions"] == [{"StorageClass": storage_class, "TransitionInDays": 30}]
    assert expired["ExpirationInDays"] == 400
    assert _rules(bucket).keys().isdisjoint({f"move-{thing.lower()}s", f"expire-{thing.lower()}s"})


@pytest.mark.parametrize("thing", ["Source", "Variant"])
def test_every_storage_class_can_be_read_at_once(thing: str) -> None:
    offered = load()["Parameters"][f"{thing}StorageClass"]["AllowedValues"]
    assert set(offered).isdisjoint({"GLACIER", "DEEP_ARCHIVE"})


@pytest.mark.parametrize("thing", ["Source", "Variant"])
@given(days=st.integers(0, 4000), storage_class=st.sampled_from(["STANDARD", "STANDARD_IA"]))
def test_what_expires_first_never_changes_its_class(thing: str, days: int, storage_class: str) -> None:
    refused = Stack({f"{thing}StorageClass": storage_class, f"{thing}ExpirationDays": str(days)}).refusals()
    assert bool(refused) is (storage_class != "STANDARD" and 1 <= days <= 30)


def test_sources_are_kept_unless_asked_otherwise_and_in_versions(stack: Stack) -> None:
    made = stack.resource("SourceBucket")
    assert "expire-sources" not in {rule["Id"] for rule in made["LifecycleConfiguration"]["Rules"]}
    assert made["VersioningConfiguration"] == {"Status": "Enabled"}


# -- delivery


def _distribution(**parameters: str) -> dict[str, Any]:
    config = Stack(parameters).resource("Distribution")["DistributionConfig"]
    assert isinstance(config, dict)
    return config


def test_variants_are_read_by_this_distribution_alone(stack: Stack) -> None:
    (reads, _) = stack.statements("ProcessedBucketPolicy")
    assert reads["Action"] == ["s3:GetObject"]
    assert reads["Resource"] == [f"arn:aws:s3:::{NAMES.processed_bucket}/processed/*"]
    assert reads["Condition"] == {"StringEquals": {"aws:SourceArn": DISTRIBUTION_ARN}}


@pytest.mark.parametrize(
    ("caching", "policy"),
    [("immutable", "658327ea-f89d-4fab-a63d-7e88639e58f6"), ("disabled", "4135ea2d-6df8-44a3-9df3-4b5a84be39ad")],
)
def test_variants_are_cached_or_not_as_asked(caching: str, policy: str) -> None:
    assert _distribution(VariantCaching=caching)["DefaultCacheBehavior"]["CachePolicyId"] == policy


def test_pods_may_read_the_secret_with_the_private_key_and_no_other_and_only_where_it_is_named() -> None:
    template = load(PATH.with_name("private.yaml"))
    arn = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:a-AbCdEf"
    given = {"Stage": "prod", "FirstKey": "a key"}
    assert Stack(given, template).resources("AWS::IAM::Policy") == []
    for role, told in (("", f"truss-image-service-prod-{REGION}"), ("own", "own")):
        policy = Stack({**given, "SecretArn": arn, "ServiceRoleName": role}, template).resource("ReadsSecret")
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert (statement["Action"], statement["Resource"], policy["Roles"]) == (
            "secretsmanager:GetSecretValue",
            arn,
            [told],
        )


def test_without_a_domain_the_api_is_not_behind_the_distribution() -> None:
    config = _distribution()
    assert [origin["Id"] for origin in config["Origins"]] == ["variants"]
    assert config["CacheBehaviors"] == []


def test_private_variants_are_read_with_signed_urls_alone_and_not_at_all_without_keys() -> None:
    def readable(**parameters: Any) -> list[str]:
        statements = Stack(parameters).resource("ProcessedBucketPolicy")["PolicyDocument"]["Statement"]
        (reads,) = (each for each in statements if each["Sid"] == "ThisDistributionReads")
        return [resource.partition("/")[2] for resource in reads["Resource"]]

    assert readable() == ["processed/*"]
    group = "01234567-89ab-cdef-0123-456789abcdef"
    assert readable(PrivateKeyGroupId=group) == ["processed/*", "private/*"]
    (private,) = _distribution(PrivateKeyGroupId=group)["CacheBehaviors"]
    assert (private["PathPattern"], private["TrustedKeyGroups"]) == ("/private/*", [group])
    assert private["ViewerProtocolPolicy"] == "https-only"
    (first, _) = _distribution(PrivateKeyGroupId=group, ApiDomain="api.example.com")["CacheBehaviors"]
    assert first == private


def test_the_api_behind_the_distribution_gets_all_that_a_client_sent_and_only_over_https() -> None:
    config = _distribution(ApiDomain="api.example.com")
    (_, api) = config["Origins"]
    assert (api["DomainName"], api["CustomOriginConfig"]["OriginProtocolPolicy"]) == ("api.example.com", "https-only")
    (behavior,) = config["CacheBehaviors"]
    assert (behavior["PathPattern"], behavior["ViewerProtocolPolicy"]) == ("/images/*", "https-only")
    assert set(behavior["AllowedMethods"]) >= {"GET", "POST", "PUT", "DELETE"}
    assert behavior["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert behavior["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-38738e2966ac"


def test_an_idle_connection_to_the_api_is_given_up_by_cloudfront_first() -> None:
    (_, api) = _distribution(ApiDomain="api.example.com")["Origins"]
    assert api["CustomOriginConfig"]["OriginKeepaliveTimeout"] < Settings.model_fields["keepalive_seconds"].default


def test_the_distribution_speaks_modern_protocols_logs_and_hardens() -> None:
    config = _distribution()
    assert config["HttpVersion"] == "http2and3"
    assert config["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"
    assert config["Logging"]["Bucket"] == "<LogsBucket.RegionalDomainName>"
    assert config["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] == "<ResponseHeaders>"


def test_access_logs_can_be_left_out() -> None:
    stack = Stack({"AccessLogDays": 0})
    assert "Logging" not in stack.resource("Distribution")["DistributionConfig"]
    assert "LogsBucket" not in stack.resources()


def test_a_name_of_ones_own_comes_with_its_certificate() -> None:
    certificate = "01234567-89ab-cdef-0123-456789abcdef"
    config = _distribution(DomainName="images.example.com", CertificateId=certificate)
    assert config["Aliases"] == ["images.example.com"]
    assert config["ViewerCertificate"]["AcmCertificateArn"] == (
        f"arn:aws:acm:us-east-1:{ACCOUNT_ID}:certificate/{certificate}"
    )
    assert Stack({"DomainName": "images.example.com"}).outputs()["CloudfrontUrl"] == "https://images.example.com"


# -- who runs it, who uses it, who is told


AGENT = {"PodIdentityCluster": "my-cluster"}


def _trusted(**parameters: str) -> list[dict[str, Any]]:
    document = json.loads(Stack(parameters).resource("ServiceRole")["AssumeRolePolicyDocument"])
    found: list[dict[str, Any]] = document["Statement"]
    return found


def test_eks_gives_the_role_to_one_service_account_of_one_cluster_by_pod_identity() -> None:
    stack = Stack(AGENT)
    (statement,) = _trusted(**AGENT)
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {
            "StringEquals": {
                "aws:RequestTag/eks-cluster-arn": f"arn:aws:eks:{REGION}:{ACCOUNT_ID}:cluster/my-cluster",
                "aws:RequestTag/kubernetes-namespace": "truss-image",
                "aws:RequestTag/kubernetes-service-account": "image-service",
            }
        },
    }
    assert stack.resource("PodIdentity") == {
        "ClusterName": "my-cluster",
        "Namespace": "truss-image",
        "ServiceAccount": "image-service",
        "RoleArn": f"arn:aws:iam::{ACCOUNT_ID}:role/truss-image-service-dev-{REGION}",
    }
    assert stack.resource("ServicePolicy")["Roles"] == ["<ServiceRole>"]


def test_a_role_may_be_reached_both_ways_while_one_takes_the_place_of_the_other() -> None:
    assert _trusted(**CLUSTER, **AGENT) == [*_trusted(**CLUSTER), *_trusted(**AGENT)]


def test_the_role_is_for_one_service_account_of_one_cluster() -> None:
    (statement,) = _trusted(**CLUSTER)
    issuer = CLUSTER["OidcProvider"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT_ID}:oidc-provider/{issuer}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{issuer}:aud": "sts.amazonaws.com",
                f"{issuer}:sub": "system:serviceaccount:truss-image:image-service",
            }
        },
    }
    assert Stack(CLUSTER).resource("ServicePolicy")["Roles"] == ["<ServiceRole>"]


def test_the_role_has_a_boundary_when_one_is_given() -> None:
    boundary = "arn:aws:iam::111122223333:policy/boundary"
    assert Stack({**CLUSTER, "ServiceBoundaryArn": boundary}).resource("ServiceRole")["PermissionsBoundary"] == boundary
    assert "PermissionsBoundary" not in Stack(CLUSTER).resource("ServiceRole")


def test_without_a_cluster_there_is_no_role(stack: Stack) -> None:
    assert stack.resources("AWS::IAM::Role") == []
    assert "Roles" not in stack.resource("ServicePolicy")


def test_keda_may_ask_how_deep_the_queue_is_and_nothing_else() -> None:
    stack = Stack({"KedaOperatorRoleName": "keda"})
    assert _rights(stack.statements("ScalerPolicy")) == {("sqs:GetQueueAttributes", QUEUE_ARN)}


def test_users_cannot_choose_their_tenant() -> None:
    stack = Stack({"CreateUserPool": "true"})
    claim = Settings.model_fields["cognito_tenant_claim"].default
    client = stack.resource("UserPoolClient")
    assert claim in client["ReadAttributes"]
    assert claim not in client["WriteAttributes"]
    assert f"custom:{stack.resource('UserPool')['Schema'][0]['Name']}" == claim


def test_the_groups_of_the_user_pool_are_the_scopes_of_the_api() -> None:
    stack = Stack({"CreateUserPool": "true"})
    groups = {stack.resource(name)["GroupName"] for name in stack.resources("AWS::Cognito::UserPoolGroup")}
    assert groups == set(Scope)


def test_the_hosted_sign_in_is_there_when_it_may_return_somewhere() -> None:
    given = {"CreateUserPool": "true", "CallbackUrls": "https://app.example/back"}
    assert Stack(given).resource("UserPoolDomain")["Domain"] == f"truss-image-dev-{ACCOUNT_ID}"
    assert Stack(given).resource("UserPoolClient")["AllowedOAuthFlows"] == ["code"]
    assert "UserPoolDomain" not in Stack({"CreateUserPool": "true"}).resources()


def test_without_being_asked_for_there_is_no_user_pool(stack: Stack) -> None:
    assert stack.resources("AWS::Cognito") == []
    assert stack.outputs()["AuthModes"] == "api_key"


def test_every_alarm_tells_the_topic() -> None:
    topic = "arn:aws:sns:eu-west-1:111122223333:on-call"
    stack = Stack({"AlarmTopicArn": topic, "ServiceLogGroup": "/pods", "ApiLoadBalancer": "app/x/0123456789abcdef"})
    alarms = stack.resources("AWS::CloudWatch::Alarm")
    assert len(alarms) == 5  # that of the distribution is for us-east-1 alone
    for alarm in alarms:
        made = stack.resource(alarm)
        assert (made["AlarmActions"], made["OKActions"]) == ([topic], [topic])


def test_every_alarm_names_a_section_that_there_is() -> None:
    docs = PATH.parents[2] / "docs"
    named = re.findall(r'See docs/([a-z]+\.md), "([^"]+)"', PATH.read_text())
    assert len(named) >= 5
    for page, section in named:
        assert re.search(rf"^#+ {re.escape(section)}$", (docs / page).read_text(), re.MULTILINE), section


def test_failed_jobs_are_counted_where_the_service_logs_them() -> None:
    stack = Stack({"ServiceLogGroup": "/pods"})
    asked = {
        each["MetricStat"]["Metric"]["MetricName"]: each["MetricStat"]["Metric"]["Namespace"]
        for each in stack.resource("FailedJobsAlarm")["Metrics"]
        if "MetricStat" in each
    }
    made = {}
    for name, outcome in {"FailedJobs": "failed", "CompletedJobs": "completed"}.items():
        counted = stack.resource(name)
        assert f'$.outcome = "{outcome}"' in counted["FilterPattern"]
        (metric,) = counted["MetricTransformations"]
        made[metric["MetricName"]] = metric["MetricNamespace"]
    assert made == asked


def test_the_alarm_on_failed_jobs_counts_what_no_file_is_at_fault_for() -> None:
    failed = Stack({"ServiceLogGroup": "/pods"}).resource("FailedJobs")["FilterPattern"]
    rule = (PATH.parents[2] / "helm" / "image-service" / "values.yaml").read_text()
    (codes,) = re.findall(r"ImageServiceJobsFail: \{.*codes: ([\w|]+),", rule)
    assert set(re.findall(r'\$\.code = "(\w+)"', failed)) == set(codes.split("|"))
    assert set(re.findall(r'\$\.log_processed\.code = "(\w+)"', failed)) == set(codes.split("|"))


def test_the_dashboard_is_valid_json_about_what_was_made(stack: Stack) -> None:
    body = json.loads(stack.resource("Dashboard")["DashboardBody"])
    assert len(body["widgets"]) == 6
    assert {NAMES.source_bucket, NAMES.processed_bucket, NAMES.table} <= set(
        re.findall(r"truss-[\w-]+", json.dumps(body))
    )


# -- parameters


@given(st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True))
def test_whatever_stage_the_service_takes_the_template_takes(stage: str) -> None:
    assert re.fullmatch(Stack().template["Parameters"]["Stage"]["AllowedPattern"], stage)
    for bucket in BUCKETS:
        assert len(Stack({"Stage": stage}).resource(bucket)["BucketName"]) <= 63


def test_every_parameter_is_explained_grouped_and_has_a_default(stack: Stack) -> None:
    parameters = stack.template["Parameters"]
    groups = stack.template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)
    assert all(each["Description"] and "Default" in each for each in parameters.values())


def test_every_parameter_that_the_pages_of_deployment_set_exists(stack: Stack) -> None:
    page = "".join((PATH.parents[2] / "docs" / name).read_text() for name in ("deployment.md", "image.md"))
    others = {name for path in TEMPLATES for name in load(path)["Parameters"]}
    blocks = re.findall(r"--parameter-overrides(.*?)```", page, re.DOTALL)
    named = {name for block in blocks for name in re.findall(r"\b([A-Z][a-z]\w+)=", block)}
    named |= {name for block in re.findall(r'`(\{".*?\})`', page) for name in json.loads(block)}
    assert len(named) >= 8
    assert named <= set(stack.template["Parameters"]) | others


def test_who_delivers_variants_cannot_read_what_was_uploaded(stack: Stack) -> None:
    """Faces that variants hide are in the source."""
    assert [each for each in stack.statements("SourceBucketPolicy") if each["Effect"] == "Allow"] == []
    for logical_id in stack.resources("AWS::S3::BucketPolicy"):
        for each in stack.statements(logical_id):
            if each["Effect"] == "Allow":
                assert "SourceBucket" not in json.dumps([stack.resource(logical_id)["Bucket"], each["Resource"]])
    readable = [
        resource
        for each in stack.statements("ProcessedBucketPolicy")
        if each["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        for resource in each["Resource"]
    ]
    assert [resource.rpartition("/processed/")[2] for resource in readable] == ["*"]
    (distribution,) = stack.resources("AWS::CloudFront::Distribution")
    assert "SourceBucket" not in json.dumps(stack.resource(distribution)["DistributionConfig"]["Origins"])
