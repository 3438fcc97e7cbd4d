"""The groups of calls in the OpenAPI document. They are the headings of the reference page."""

from __future__ import annotations

from service.http.call import Group

UPLOADS = Group("uploads", "Upload URLs")
UPPY = Group("uppy", "Uploads by Uppy, in the words of its Companion")
IMAGES = Group("images", "Images and their variants")
REVIEWS = Group("reviews", "Reviews: images that are held until somebody has looked")
PRESETS = Group("presets", "Presets: variants of one's own")
BATCHES = Group("batches", "Many images at once")
EVENTS = Group("events", "Being told")
WEBHOOKS = Group("webhooks", "Webhooks: being told of what happens to images")
FAILURES = Group("failures", "Images whose conversion failed")
ACCESS = Group("access", "API keys and limits")
SERVICE = Group("service", "The service itself")
