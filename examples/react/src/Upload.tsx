import { useEffect, useRef, useState } from "react";
import { Client, type Job, TrussImageError } from "truss-image-client";

interface Props {
  baseUrl: string;
  /** The access token of the user: a page has no key. */
  token: () => Promise<string>;
  onReady?: (job: Job) => void;
}

type State = { sent: number; size: number } | { job: Job } | { error: string } | undefined;

/** Chooses a picture, uploads it with progress, and shows its thumbnail as soon as it is there. */
export function Upload({ baseUrl, token, onReady }: Props) {
  const [state, setState] = useState<State>();
  const stop = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => stop.current?.abort(), []);

  async function upload(file: File): Promise<void> {
    stop.current?.abort();
    const { signal } = (stop.current = new AbortController());
    const images = new Client({ baseUrl, token });
    setState({ sent: 0, size: file.size });
    try {
      const job = await images.convert(file, { signal, progress: (sent, size) => setState({ sent, size }) });
      setState({ job });
      onReady?.(job);
    } catch (error) {
      if (signal.aborted) return;
      setState({ error: error instanceof TrussImageError ? error.message : "It did not work. Please try again." });
    }
  }

  return (
    <div>
      <input
        type="file"
        accept="image/*"
        aria-label="Choose a picture"
        onChange={(event) => {
          const file = event.target.files?.[0];
          if (file) void upload(file);
        }}
      />
      {state && "sent" in state && <progress value={state.sent} max={state.size} />}
      {state && "error" in state && <p role="alert">{state.error}</p>}
      {state && "job" in state && <Picture job={state.job} />}
    </div>
  );
}

function Picture({ job }: { job: Job }) {
  const { thumbnail, medium } = job.processedImages;
  if (!thumbnail || !medium) return null;
  return (
    <img
      src={medium.url}
      srcSet={`${thumbnail.url} ${thumbnail.width}w, ${medium.url} ${medium.width}w`}
      sizes="(max-width: 600px) 300px, 800px"
      width={medium.width}
      height={medium.height}
      alt={job.filename}
    />
  );
}
