// The earlier service's pipeline: for every line {"file", "out", "pixels"} on stdin, one decode and one WebP per spec.
// usage: node sharp_pipeline.mjs SHARP_DIR SPECS_JSON EFFORT
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync, writeFileSync } from "node:fs";

const [dir, specs, effort] = process.argv.slice(2);
const sharp = createRequire(`${dir}/`)("sharp");
sharp.cache(false);
sharp.concurrency(1);

for await (const line of createInterface({ input: process.stdin })) {
  const { file, out, pixels } = JSON.parse(line);
  const source = readFileSync(file);
  const before = process.cpuUsage();
  const outputs = [];
  const resized = (box) => {
    const image = sharp(source).rotate();
    return box ? image.resize(box[0], box[1], { fit: "inside", withoutEnlargement: true }) : image;
  };
  for (const { name, quality, box } of JSON.parse(specs)) {
    const image = resized(box);
    const { data, info } = await image.webp({ quality, effort: Number(effort) }).toBuffer({ resolveWithObject: true });
    outputs.push({ name, data, width: info.width, height: info.height });
  }
  const used = process.cpuUsage(before);
  for (const { name, data } of outputs) if (out) writeFileSync(`${out}/${name}.webp`, data);
  if (out && pixels) for (const { name, box } of JSON.parse(specs)) await resized(box).png({ compressionLevel: 1 }).toFile(`${out}/${name}.png`);
  const sizes = outputs.map(({ name, width, height, data }) => ({ name, width, height, bytes: data.length }));
  console.log(JSON.stringify({ cpu_seconds: (used.user + used.system) / 1e6, outputs: sizes }));
}
