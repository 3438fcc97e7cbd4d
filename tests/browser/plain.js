// Nothing but `companionEndpoint`.
import AwsS3 from "@uppy/aws-s3";
import Uppy from "@uppy/core";

window.errors = [];
window.uppy = new Uppy().use(AwsS3, { companionEndpoint: API });
uppy.on("upload-error", (file, error) => window.errors.push(error.message));
