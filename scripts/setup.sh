#!/usr/bin/env bash
# Installs what is missing and nothing else: system packages, a virtual environment with the locked
# versions, llama.cpp built for this processor, and the models of a profile.
#
#   scripts/setup.sh device|dev [PROFILE]
#
# A second run finds everything in place and takes about a second.
set -euo pipefail
cd "$(dirname "$0")/.."

kind=${1:-device}
profile=${2:-${EDGE_PROFILE:-standard}}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/edge-runtime
venv=.venv
python=$venv/bin/python

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

have() { command -v "$1" >/dev/null 2>&1; }
has_tesseract_language() { tesseract --list-langs 2>/dev/null | grep -qx "$1"; }

missing_packages() {
  have cc || echo build-essential
  have tesseract || echo tesseract-ocr
  for language in eng chi_sim spa; do
    has_tesseract_language "$language" || echo "tesseract-ocr-${language/_/-}"
  done
  have espeak-ng || echo espeak-ng
  python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
  [ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] || echo python3-dev
  if [ "$kind" = dev ]; then
    have chromium || echo chromium
    [ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ] || echo fonts-noto-cjk
    have unshare || echo util-linux
    have node || echo nodejs
    have npm || echo npm
  fi
}

install_system_packages() {
  have python3 || [ "$(id -u)" = 0 ] || fail "Python 3.11 or newer is missing: sudo apt-get install python3 python3-venv"
  have python3 || { apt-get update -qq; apt-get install -y -qq --no-install-recommends python3 python3-venv; }
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" = 0 ] && have apt-get; then
    say "installing system packages: ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    fail "these system packages are missing; install them and run this again:
  sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
}

make_environment() {
  python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "Python 3.11, 3.12 or 3.13 is needed; this is $(python3 --version)."
  [ -x $python ] || { say "creating $venv"; python3 -m venv $venv; }
}

# llama.cpp is compiled for what this processor has. AMX is left out: llama.cpp's AMX kernels crash
# with 4-bit models. The wheel is kept per processor type, so that a copied cache cannot mislead.
llama_flags() {
  [ "$(uname -m)" = x86_64 ] || { echo "-DGGML_NATIVE=ON"; return; }
  local flags="-DGGML_NATIVE=OFF" cpu
  cpu=" $(grep -m1 '^flags' /proc/cpuinfo) "
  on() { [[ $cpu == *" $1 "* ]] && flags+=" -DGGML_$2=ON" || flags+=" -DGGML_$2=OFF"; }
  on avx AVX; on avx2 AVX2; on fma FMA; on f16c F16C; on bmi2 BMI2
  on avx512f AVX512; on avx512_vbmi AVX512_VBMI; on avx512_vnni AVX512_VNNI
  echo "$flags"
}

install_llama() {
  local flags key wheels
  flags=$(llama_flags)
  key=$(printf '%s %s %s' "$flags" "$(cat requirements/llama.lock)" "$($python -V)" | sha256sum | cut -c1-16)
  wheels=$cache/wheels/$key
  [ "$(cat $venv/.llama 2>/dev/null)" = "$key" ] && return
  if ! compgen -G "$wheels/*.whl" >/dev/null; then
    say "compiling llama.cpp for this processor (about 6 minutes on 2 cores, once)"
    local building
    mkdir -p "$cache/wheels"
    building=$(mktemp -d "$cache/wheels/building.XXXXXX")
    CMAKE_ARGS="$flags" CMAKE_BUILD_PARALLEL_LEVEL=$(nproc) $python -m pip wheel -q --no-deps \
      --no-cache-dir --no-binary :all: --require-hashes -r requirements/llama.lock -w "$building" ||
      { rm -rf "$building"; fail "llama.cpp could not be compiled; the lines above say why."; }
    rm -rf "$wheels"; mv "$building" "$wheels"
  fi
  $python -m pip install -q --no-deps --force-reinstall "$wheels"/*.whl
  echo "$key" >$venv/.llama
}

# The build for processors alone is taken where pip can find one (PIP_FIND_LINKS): it is a tenth of
# the size. The other build does not load without the libraries of graphics cards.
install_torch() {
  local wheels
  wheels=$(mktemp -d)
  $python -m pip download -q --no-deps -d "$wheels" "$(grep -o '^torch==[^ ]*' requirements/torch.lock)"
  $python -m pip install -q --no-deps --require-hashes --no-index --find-links "$wheels" \
    -r requirements/torch.lock
  rm -rf "$wheels"
  if compgen -G "$venv/lib/python*/site-packages/torch/lib/libtorch_cuda.so" >/dev/null; then
    $python -m pip install -q --no-deps --require-hashes -r requirements/cuda.lock
  fi
}

install_python_packages() {
  local lock=requirements/$kind.lock stamp
  # The development environment contains the device's, so it never needs to shrink.
  [ "$kind" = device ] && [ -e $venv/.dev ] && lock=requirements/dev.lock
  stamp=$(cat "$lock" requirements/{torch,cuda}.lock pyproject.toml | sha256sum | cut -c1-16)
  [ "$(cat $venv/.installed 2>/dev/null)" = "$stamp" ] && return
  say "installing Python packages from $lock"
  $python -m pip install -q --no-deps --require-hashes -r "$lock"
  [ "$kind" = dev ] && install_torch
  $python -m pip install -q --no-deps -e .
  [ "$kind" = dev ] && touch $venv/.dev
  echo "$stamp" >$venv/.installed
}

install_system_packages
make_environment
install_python_packages
install_llama
say "models of profile $profile"
$venv/bin/edge-runtime models pull --profile "$profile"
if [ "$kind" = dev ]; then
  $venv/bin/edge-runtime models pull multilingual-e5-small-q4 whisper-tiny-en vosk-ko smollm2-135m-q4_1
fi
