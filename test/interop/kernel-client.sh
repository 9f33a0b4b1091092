#!/bin/sh
# The kernel's own NBD client on four connections: XFS, fio with verification, discards, and the server's end and restart
# under it. On any machine with the nbd module, or in a guest; test/interop/kernel-file-system.test.ts goes through FUSE instead.
#
#   kernel-client.sh HOST PORT EXPORT [RESTART-COMMAND...]
#
# Everything on the export is lost. RESTART-COMMAND ends the server while fio writes, and has it started again. Exits with 77
# and a reason where it cannot run. DEVICE names the device (/dev/nbd0), MEGABYTES how much fio writes (96), RESTARTS how often (5).
set -eu

host=$1
port=$2
export=$3
shift 3
device=${DEVICE:-/dev/nbd0}
megabytes=${MEGABYTES:-96}
mounted=/tmp/cairn-kernel-client

skip() {
  echo "skipped: $*"
  exit 77
}
say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }
fail() {
  say "FAILED: $*"
  dmesg 2>/dev/null | grep -E 'nbd|XFS|I/O error' | tail -20 || :
  exit 1
}
finish() {
  umount "$mounted" 2>/dev/null || :
  nbd-client -d "$device" >/dev/null 2>&1 || :
}

[ "$(id -u)" = 0 ] || skip 'only root can attach a kernel device'
modprobe nbd max_part=0 2>/dev/null || [ -b "$device" ] || skip 'this kernel has no nbd module'
for tool in nbd-client mkfs.xfs xfs_repair fio blkdiscard; do
  command -v $tool >/dev/null || skip "$tool is not installed"
done
trap finish EXIT

say 'attach, four connections'
nbd-client "$host" "$port" "$device" -N "$export" -C 4 -b 4096 -timeout 60
queue=/sys/block/${device##*/}/queue
say "$(cat /sys/block/"${device##*/}"/size) sectors, write cache: $(cat $queue/write_cache), fua $(cat $queue/fua), discards up to $(cat $queue/discard_max_bytes)"

say 'mkfs.xfs, fio verify in a file, xfs_repair'
mkfs.xfs -q -f "$device" || fail 'mkfs.xfs'
mkdir -p "$mounted"
mount -t xfs -o discard "$device" "$mounted" || fail 'mount'
fio --name=file --directory="$mounted" --size="${megabytes}m" --rw=randwrite --bsrange=4k-64k --ioengine=psync --numjobs=2 \
  --direct=1 --fsync=64 --verify=crc32c --verify_fatal=1 --output-format=terse >/dev/null || fail 'fio on XFS'
rm "$mounted"/file*
fstrim "$mounted" || fail 'fstrim'
umount "$mounted"
xfs_repair -n "$device" >/dev/null 2>&1 || fail 'xfs_repair finds damage'

say 'blkdiscard: all of it reads as zeros'
blkdiscard -f "$device" || fail 'blkdiscard'
blocks=64
dd if="$device" bs=1M count=$blocks iflag=direct 2>/dev/null | tr -d '\0' | head -c 1 | grep -q . && fail 'discarded blocks hold data'

say 'fio verify on the device'
verify="--filename=$device --direct=1 --ioengine=psync --bs=4k --size=${megabytes}m --numjobs=1 --verify=crc32c --verify_fatal=1"
fio --name=device $verify --rw=randwrite --output-format=terse >/dev/null || fail 'fio on the device'

# The kernel fails what was under way when all connections are gone, and nbd-client (3.24) connects none of several again:
# whoever has attached the device does. What counts: it can be attached at once, and what had been flushed is there.
again() {
  tries=0
  until "$@" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 120 ] || fail "not within a minute: $*"
    sleep 0.5
  done
}
attach() {
  nbd-client -d "$device" >/dev/null 2>&1 || :
  nbd-client "$host" "$port" "$device" -N "$export" -C 4 -b 4096 -timeout 60 >/dev/null 2>&1
}
write_pattern() { dd if="$pattern" of="$device" bs=1M oflag=direct conv=fsync,notrunc; }
same_pattern() { dd if="$device" bs=1M count=8 iflag=direct | cmp -s - "$pattern"; }
# A device whose server has gone is empty, and reads without an error.
readable() { [ "$(dd if="$device" bs=1M count=8 iflag=direct | wc -c)" = 8388608 ]; }

if [ $# -gt 0 ]; then
  say 'the server ends and is started again'
  pattern=$(mktemp)
  restarts=0
  while [ $restarts -lt "${RESTARTS:-5}" ]; do
    dd if=/dev/urandom of="$pattern" bs=1M count=8 2>/dev/null
    again write_pattern
    "$@" || fail "the restart command: $*"
    restarts=$((restarts + 1))
    again attach
    again readable
    same_pattern 2>/dev/null || fail "flushed data is gone after restart $restarts"
  done
  rm "$pattern"
  say "attached again after each of $restarts restarts, with what had been flushed"
fi

say 'detach'
nbd-client -d "$device" >/dev/null
say 'done'
