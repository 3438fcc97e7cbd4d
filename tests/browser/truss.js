// The client for TypeScript on a page, bundled as a program would have it; a test drives it.

import { Client } from "truss-image-client";

const input = document.createElement("input");
input.type = "file";
document.body.append(input);

/** Bytes that were sent, as the client has told them. */
window.told = [];
window.images = new Client({ baseUrl: SERVICE, token: () => window.accessToken() });
window.upload = () =>
  images.upload(input.files[0], {
    multipartBytes: 2 ** 20,
    idempotencyKey: "the-upload-of-this-page",
    progress: (sent) => told.push(sent),
  });
