import createClient from "openapi-fetch";
import type { paths } from "./api.js";

declare const process: { argv: string[] };
const { POST } = createClient<paths>({ baseUrl: process.argv[2] ?? "" });

const submitted = await POST("/v1/jobs", { body: { preset: "mlp-sigmoid", epochs: 1 } });
if (!submitted.data) throw new Error(submitted.error.detail);
const answer = await POST("/v1/models/{ref}/predict", {
  params: { path: { ref: "latest" }, query: { top_k: 2 } },
  body: { inputs: [{ dataset: "mnist", index: 0 }] },
});
if (!answer.data) throw new Error(answer.error.detail);
const labels: (number | undefined)[] = answer.data.predictions.map((each) => each.label);
console.log(submitted.data.spec.activation, submitted.data.spec.optimizer.type, labels);
