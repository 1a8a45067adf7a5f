#!/bin/sh
# Builds the Java client into peers/java/build: protoc for the bindings, javac for both. Does nothing when nothing has
# changed, and leaves the bindings alone when only the client has.
# Debian: openjdk-17-jdk-headless protobuf-compiler libprotobuf-java libgoogle-gson-java
set -eu
here=$(cd "$(dirname "$0")" && pwd)
proto=$(cd "$here/../../proto" && pwd)
out=$here/build
jars=${IMWIRE_JAVA_JARS:-/usr/share/java}
# The one that came with protobuf.jar: npm puts another in front of the path, whose bindings want a newer protobuf.jar.
protoc=${IMWIRE_PROTOC:-/usr/bin/protoc}

# fresh STAMP FILE…: nothing of these is newer than the stamp
fresh() {
  stamp=$1
  shift
  [ -f "$stamp" ] && [ -z "$(find "$@" -newer "$stamp" -print -quit)" ]
}
bindings_fresh() { fresh "$out/bindings.stamp" "$here/proto" "$proto/imwire/v1"; }
client_fresh() { fresh "$out/client.stamp" "$here/src" "$here/test" "$here/build.sh" "$out/bindings.stamp"; }
if bindings_fresh && client_fresh; then exit 0; fi

for tool in "$protoc" javac flock; do
  command -v "$tool" >/dev/null || { echo "build.sh: there is no $tool; on Debian: apt-get install protobuf-compiler openjdk-17-jdk-headless util-linux" >&2; exit 2; }
done
for jar in protobuf.jar gson.jar; do
  [ -f "$jars/$jar" ] || { echo "build.sh: there is no $jars/$jar; on Debian: apt-get install libprotobuf-java libgoogle-gson-java" >&2; exit 2; }
done

# Two adapters that start at once must not build over each other: the second finds it done.
mkdir -p "$out"
exec 9>"$out/lock"
flock 9
javac="javac -J-XX:TieredStopAtLevel=1 -J-XX:+UseSerialGC --release 17 -proc:none"

# An archive of the classes that a start loads: it halves the time to the first Hello. A JVM that cannot use it does without.
warm_up() {
  echo "build.sh: the archive of classes ..." >&2
  rm -f "$out/classes.jsa"
  data=$(mktemp -d)
  for url in ws tcp; do
    echo '{"id":1,"do":"hello","protocol":1}'
    echo '{"id":2,"do":"start","url":"'$url'://127.0.0.1:9","device":"d","token":"t","data":"'$data'"}'
    echo '{"id":3,"do":"send","ref":"r","conversation":{"user":"u"},"contentType":"t","body":""}'
    echo '{"id":4,"do":"messages","conversation":{"user":"u"}}'
    sleep 0.3
    echo '{"id":5,"do":"stop"}'
  done | java -XX:ArchiveClassesAtExit="$out/classes.jsa" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xlog:cds=off -Xlog:cds+dynamic=off \
    -cp "$out/client.jar:$out/bindings.jar:$jars/protobuf.jar:$jars/gson.jar" imwire.peer.adapter.Adapter >"$out/warm-up.log" 2>&1 ||
    echo "build.sh: there is no archive of classes; $out/warm-up.log says why" >&2
  rm -rf "$data"
}

if ! bindings_fresh; then
  echo "build.sh: the bindings ..." >&2
  rm -rf "$out/gen" "$out/bindings" && mkdir -p "$out/gen" "$out/bindings"
  touch "$out/begun"
  (cd "$proto" && "$protoc" -I . -I "$here/proto" --java_out="$out/gen" imwire/v1/*.proto store.proto)
  find "$out/gen" -name '*.java' >"$out/gen.list"
  $javac -nowarn -Xlint:none -cp "$jars/protobuf.jar" -d "$out/bindings" "@$out/gen.list"
  (cd "$out/bindings" && jar --create --no-compress --file "$out/bindings.new" .)
  mv "$out/bindings.new" "$out/bindings.jar"
  # The stamp is from before the build: what was changed meanwhile is built the next time.
  mv "$out/begun" "$out/bindings.stamp"
fi
if ! client_fresh; then
  echo "build.sh: the client ..." >&2
  # Into a folder of its own: an adapter that runs meanwhile goes on with the classes that it was started with.
  rm -rf "$out/new" && mkdir -p "$out/new"
  touch "$out/begun"
  find "$here/src" "$here/test" -name '*.java' >"$out/src.list"
  $javac -Xlint:all -Werror -cp "$jars/protobuf.jar:$jars/gson.jar:$out/bindings" -d "$out/new" "@$out/src.list"
  (cd "$out/new" && jar --create --no-compress --file "$out/client.new" .)
  mv "$out/client.new" "$out/client.jar"
  warm_up
  mv "$out/begun" "$out/client.stamp"
fi
