// A photo, chosen, dropped or shot, made small enough to send.

const LONGEST_SIDE = 2000;
const LARGEST_FILE = 40 * 2 ** 20;

// Returns {base64, preview}; rejects when the file is no picture.
export async function prepare(file) {
  if (file.size > LARGEST_FILE) throw new Error("too large");
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  return encode(bitmap, bitmap.width, bitmap.height);
}

export function snapshot(video) {
  return encode(video, video.videoWidth, video.videoHeight);
}

function encode(source, width, height) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(source, 0, 0, canvas.width, canvas.height);
  const preview = canvas.toDataURL("image/jpeg", 0.9);
  return { base64: preview.slice(preview.indexOf(",") + 1), preview };
}
