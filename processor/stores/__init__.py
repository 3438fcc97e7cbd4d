"""S3, DynamoDB and SQS behind the ports; the only package that imports the AWS SDK."""
