// Uppy as the guide sets it up, with what its users see and what survives a reload.
import "@uppy/core/css/style.min.css";
import "@uppy/dashboard/css/style.min.css";
import Dashboard from "@uppy/dashboard";
import GoldenRetriever from "@uppy/golden-retriever";
import { uppy } from "./guide.js";

uppy.use(Dashboard, { inline: true, target: "body", width: 700, height: 450 }).use(GoldenRetriever);
window.uppy = uppy;
window.errors = [];
uppy.on("upload-error", (file, error) => window.errors.push(error.message));
uppy.on("s3-multipart:part-uploaded", () => window.pauseAfterPart && uppy.pauseAll());
