// A photo, chosen, dropped or shot, made small enough to send.

const LONGEST_SIDE = 2000;
const LARGEST_FILE = 40 * 2 ** 20;
const LARGEST_PICTURE = 100e6; // pixels; decoding more would take the page's memory

// Returns {base64, preview}; rejects when the file is no picture or too large.
export async function prepare(file) {
  if (file.size > LARGEST_FILE) throw new Error("too large");
  const address = URL.createObjectURL(file);
  try {
    const image = await load(address);
    const { naturalWidth: width, naturalHeight: height } = image;
    if (!width || !height || width * height > LARGEST_PICTURE) throw new Error("too large");
    await image.decode();
    return encode(image, width, height);
  } finally {
    URL.revokeObjectURL(address);
  }
}

export function snapshot(video) {
  return encode(video, video.videoWidth, video.videoHeight);
}

// Only the header is read here, so that the size is known before the pixels take memory.
function load(address) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("not a picture"));
    image.src = address;
  });
}

function encode(source, width, height) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // a transparent picture would turn black as JPEG
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  const preview = canvas.toDataURL("image/jpeg", 0.9);
  return { base64: preview.slice(preview.indexOf(",") + 1), preview };
}
