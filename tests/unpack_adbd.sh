#!/usr/bin/env bash
# Unpacks Debian's adbd and its libraries into a folder, without installing anything and without rights.
# Takes the folder. Uses apt with lists of its own, so that the system's sources stay as they are.
set -euo pipefail

folder=${1:?usage: unpack_adbd.sh FOLDER}
adbd=usr/lib/android-sdk/platform-tools/adbd

[ -x "$folder/$adbd" ] && exit 0
[ -x "/$adbd" ] && exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "adbd is unpacked from packages of Debian with apt-get and dpkg-deb, which this system has not" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$folder"
key=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in bookworm bookworm-backports; do
    echo "deb [signed-by=$key] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $suite main"
done >"$work/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=)
apt-get "${options[@]}" update
backported=(adbd android-libbase android-libboringssl android-libcutils android-liblog)
(cd "$work/debs" && apt-get "${options[@]}" download "${backported[@]/%//bookworm-backports}" libprotobuf32)
for package in "$work"/debs/*.deb; do
    dpkg-deb -x "$package" "$folder"
done
