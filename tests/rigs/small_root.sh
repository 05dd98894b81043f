#!/bin/sh
# small_root.sh FOLDER PREFIX COMMAND...
#
# Runs COMMAND as process 1 of a machine that is nothing but this: /usr and PREFIX of the real one, read-only;
# FOLDER; and /etc, /var, /tmp, /run, /dev, /sys in memory, with journald's configuration and the units in
# FOLDER/units. Its network, host name, process ids and control groups are its own, and the kernel's
# settings are read-only: for systemd, which writes to all of these and cleans /tmp.
#
# Status 77: it cannot be made here.
set -eu

cannot() {
    echo "small_root: $*" >&2
    exit 77
}

read_only() {
    mount --bind "$1" "$2" && mount -o remount,bind,ro "$2"
}

# A control group of its own below the caller's, of which nothing outside it can be seen from inside.
enter_group() {
    mount -t tmpfs tmpfs /run
    mkdir /run/groups /run/root
    mount -t cgroup2 none /run/groups || cannot "no control groups"
    mkdir -p "/run/groups/$1" && echo 0 > "/run/groups/$1/cgroup.procs" || cannot "no group"
}

build() {
    new=/run/root
    mount -t tmpfs -o mode=755 tmpfs $new
    cd $new
    mkdir -p usr etc/systemd/system etc/systemd/journald.conf.d var/log var/tmp tmp run \
        root dev proc sys/fs/cgroup "./$folder" "./$prefix"
    chmod 1777 tmp var/tmp
    cp -P /bin /sbin /lib* . || cannot "/bin is no link into /usr"
    cp /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache etc/
    echo 00000000000000000000000000000001 > etc/machine-id
    printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' > etc/systemd/journald.conf.d/own.conf
    for unit in sysinit.target basic.target systemd-tmpfiles-setup.service \
        systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.service systemd-tmpfiles-clean.timer systemd-remount-fs.service
    do
        ln -s /dev/null etc/systemd/system/$unit
    done
    [ ! -d "$folder/units" ] || cp -r "$folder/units/." etc/systemd/system/

    read_only /usr usr
    mount -t tmpfs tmpfs usr/lib/systemd/system-generators
    read_only "$prefix" "./$prefix"
    mount --bind "$folder" "./$folder"
    mount -t tmpfs -o mode=755 tmpfs dev
    for device in null zero full random urandom tty; do
        touch dev/$device
        read_only /dev/$device dev/$device
    done
    ln -s /proc/self/fd dev/fd
    mount -t tmpfs -o mode=755 tmpfs sys
    mkdir -p sys/fs/cgroup
    mount -t cgroup2 none sys/fs/cgroup
    mount -t proc proc proc
    for settings in sys sysrq-trigger irq bus fs; do
        [ ! -e proc/$settings ] || read_only proc/$settings proc/$settings
    done

    mkdir old
    pivot_root . old
    cd /
    umount -l /old
    rmdir /old
}

# Refuses to go on where it is not so.
check() {
    [ "$(stat -f -c %T /)$(stat -f -c %T /sys)" = tmpfstmpfs ] || cannot "this is the real root"
    for own in /etc /var /tmp /run /root; do
        [ "$(stat -c %d $own)" = "$(stat -c %d /)" ] || cannot "this is the real $own"
    done
    for folder in /usr /usr/lib /proc/sys "$prefix"; do
        ! touch "$folder/written" 2> /dev/null || cannot "$folder can be written"
    done
    [ "$(cat /proc/self/cgroup | grep '^0:')" = 0::/ ] && [ "$$" = 1 ] || cannot "not in its namespaces"
    ! grep -v -e ' / / ' -e ' /usr ' -e " $prefix " -e " $folder " -e ' /usr/lib/systemd/system-generators ' \
        -e ' /dev' -e ' /sys ' -e ' /sys/fs/cgroup ' -e ' /proc' /proc/self/mountinfo >&2 \
        || cannot "there is more than there should be"
}

case $1 in
--in-namespaces)
    mount --make-rprivate /
    enter_group "$2"
    shift 2
    exec unshare --cgroup "$0" --in-group "$@"
    ;;
--in-group)
    folder=$2 prefix=$3
    shift 3
    build
    check
    cd "$folder"
    # Neither the clock nor modules, devices and accounts of the kernel.
    exec setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-sys_boot,-mknod,-syslog,-audit_control,-audit_read \
        --inh-caps -all "$@"
    ;;
--remove-group)
    mount --make-rprivate /
    mount -t cgroup2 none /mnt
    find "/mnt/$2" -depth -type d -exec rmdir {} +
    ;;
*)
    # No pid: it may be that of another process namespace.
    group=rsdaemon-test-$(cat /proc/sys/kernel/random/uuid)
    trap 'unshare --mount "$0" --remove-group $group' EXIT
    setpriv --pdeathsig KILL unshare --pid --mount --ipc --uts --net --fork --kill-child \
        "$0" --in-namespaces $group "$@" || exit
    ;;
esac
