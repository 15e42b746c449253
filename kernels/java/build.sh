#!/bin/bash
# Makes `kernel.jar` and the archive of loaded classes beside this file, by which the kernel starts sooner. `javac` and
# `java` must be those that the kernel runs with, and the directory the one that it stays in: the archive knows both.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -d "$classes" src/soulbox/*.java
rm -f kernel.jar kernel.jsa
jar --create --file kernel.jar -C "$classes" .
# What it says about classes that cannot be in it is not for the reader of a build.
java -XX:ArchiveClassesAtExit="$PWD/kernel.jsa" -XX:+UseSerialGC -Xlog:disable -Djava.awt.headless=true \
  -cp "$PWD/kernel.jar" soulbox.Main >/dev/null
test -s kernel.jsa
