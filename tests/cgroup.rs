//! Cgroups, as a C program makes its own. In a kernel of the test's own: the machine's groups are not touched.

mod common;

use common::{Folder, kernel::in_kernel, passes, program};

/// What a script prints, in a kernel in which $C is the program.
fn printed(script: &str) -> Option<String> {
    let folder = Folder::new();
    let program = program(&folder, "cgroup");
    in_kernel(&folder, &[], &format!("C={}\nG=/sys/fs/cgroup\n{script}", program.display()))
}

#[track_caller]
fn prints(script: &str, expected: &str) {
    if let Some(printed) = printed(script) {
        assert_eq!(printed, expected);
    }
}

#[test]
fn a_bad_word_is_named() {
    passes("cgroup", &["bad-words"]);
}

#[test]
fn what_is_limited_is_refused() {
    prints(
        "for name in memory processes processor; do $C $name && echo $name; rmdir $G/box; done",
        "memory\nprocesses\nprocessor\n",
    );
}

#[test]
fn limits_are_written_as_people_do_or_as_the_kernel_does() {
    prints("$C most && echo good; $C forms; cat $G/box/pids.max", "good\n1024\n");
}

#[test]
fn below_the_first_group_a_process_that_is_alone_leaves_and_then_limits() {
    prints(
        "echo '+memory +pids' >$G/cgroup.subtree_control
        mkdir $G/own; $C limit box memory.max=64M; rmdir $G/box
        sh -c \"echo 0 >$G/own/cgroup.procs; exec $C limit box 'memory.max=64M pids.max=5'\"
        cat $G/own/cgroup.subtree_control $G/own/box/memory.max $G/own/box/pids.max",
        "0 0 /box|\n0 0 /own/box|\nmemory pids\n67108864\n5\n",
    );
}

#[test]
fn what_stands_in_the_way_is_told_and_nothing_is_left() {
    prints(
        "mkdir $G/own; echo 0 >$G/own/cgroup.procs
        $C limit box memory.max=1M
        echo '+memory +pids' >$G/cgroup.subtree_control
        $C limit box memory.max=1M
        $C limit box 'memory.max=1G cpu.max=1%'
        echo 0 >$G/cgroup.procs
        sh -c \"echo 0 >$G/own/cgroup.procs; exec $C limit box 'memory.max=1G pids.max=99999999999'\"
        cat $G/own/cgroup.subtree_control; ls -d $G/own/*/
        mkdir -p $G/own/box/below
        sh -c \"echo 0 >$G/own/cgroup.procs; exec $C limit box pids.max=1\"
        $C limit box io.weight=10; ls -d $G/box",
        "-1 95 /own|cannot limit within the cgroup /own: the controller memory is not available to it: not \
         delegated, or bound to version 1\n\
         -1 16 /own|cannot limit the cgroup /own/box: other processes are in the group above it\n\
         -1 95 /own|cannot limit within the cgroup /own: the controller cpu is not available to it: not \
         delegated, or bound to version 1\n\
         -1 22 /own|cannot set pids.max: Invalid argument\n\
         ls: cannot access '/sys/fs/cgroup/own/*/': No such file or directory\n\
         -1 16 /own|cannot take the cgroup /own/box: it has processes or groups\n\
         -1 2 /|cannot set io.weight: No such file or directory\n\
         ls: cannot access '/sys/fs/cgroup/box': No such file or directory\n",
    );
}

#[test]
fn a_group_that_was_left_is_made_anew_and_one_in_use_is_not() {
    prints(
        "$C limit box pids.max=3; $C limit box memory.max=1G; cat $G/box/pids.max
        (echo 0; exec sleep 1000) >$G/box/cgroup.procs & 
        until grep -q . $G/box/cgroup.procs; do :; done
        $C limit box pids.max=3; cat $G/box/pids.max; kill $!",
        "0 0 /box|\n0 0 /box|\nmax\n\
         -1 16 /|cannot take the cgroup /box: it has processes or groups\nmax\n",
    );
}

#[test]
fn without_privileges_only_what_was_delegated_is_limited() {
    prints(
        "as_user() { exec setpriv --reuid 64001 --regid 64001 --clear-groups \"$@\"; }
        (as_user $C limit box pids.max=3)
        echo +pids >$G/cgroup.subtree_control; mkdir $G/own
        chown 64001 $G/own $G/own/cgroup.procs $G/own/cgroup.subtree_control
        (echo 0 >$G/own/cgroup.procs; as_user $C limit box pids.max=3); cat $G/own/box/pids.max",
        "-1 13 /|cannot make the cgroup /box: the group above it is not delegated to this process\n\
         0 0 /own/box|\n3\n",
    );
}

#[test]
fn a_group_is_found_wherever_it_is_mounted_or_not_at_all() {
    prints(
        "mkdir $G/own; echo +pids >$G/cgroup.subtree_control
        mount -t tmpfs tmpfs /mnt; mkdir '/mnt/a b'
        (echo 0 >$G/own/cgroup.procs; exec unshare -C -m sh -c \"$C limit box ''
            umount $G; mount -t cgroup2 none '/mnt/a b'; mount -t tmpfs tmpfs $G
            exec $C limit box pids.max=9\")
        cat $G/own/box/pids.max
        unshare -m sh -c \"mount -t tmpfs tmpfs $G; $C limit box ''\"
        unshare -m sh -c \"umount $G; $C limit box ''\"
        unshare -m sh -c \"mount -o remount,ro,bind $G; $C limit box ''\"
        unshare -m sh -c \"mount -t tmpfs tmpfs /proc; $C limit box ''\"",
        "-1 95 /|the cgroup / cannot be seen: no mount of cgroup2 shows it\n\
         0 0 /box|\n9\n\
         -1 95 /|the cgroup / cannot be seen: no mount of cgroup2 shows it\n\
         -1 95 /|the cgroup / cannot be seen: no mount of cgroup2 shows it\n\
         -1 30 /|cannot make the cgroup /box: Read-only file system\n\
         -1 2 |cannot read /proc/self/cgroup: No such file or directory\n",
    );
}

/// Each call of the library's fails, or does nothing and says something else.
fn tampered(tampering: &str, calls: &str, least: usize) {
    let attempt = format!(
        "echo '+memory +pids' >$G/cgroup.subtree_control; mkdir $G/own
        attempt() {{
            strace -qq -o trace -e trace=openat,read,pread64,write,mkdirat,unlinkat,fstatfs \"$@\" \\
                $C limit box 'memory.max=64M pids.max=5' $G/own/cgroup.procs >said
            left=$(cat $G/own/cgroup.subtree_control; cd $G/own/box && pwd && cat memory.max pids.max)
            echo $(cat said) left: $left. \"$@\"
            rmdir $G/own/box; echo '-memory -pids' >$G/own/cgroup.subtree_control
        }}
        attempt 2>/dev/null
        awk -F'(' '{{ count[$1]++ }} /proc.self.cgroup/ {{ if (from) to = lines; else from = NR }}
            from {{ line[++lines] = $1 \":when=\" count[$1] }}
            END {{ for (i = 1; i <= to; i++) print line[i] }}' trace | grep -E '{calls}' >calls
        while IFS=: read call when; do attempt -e inject=$call:{tampering}:$when 2>/dev/null; done <calls"
    );
    let Some(printed) = printed(&attempt) else { return };
    let in_force = "0 0 /own/box| left: memory pids /sys/fs/cgroup/own/box 67108864 5.";
    let (first, others) = printed.split_once('\n').unwrap();
    assert_eq!(first.trim_end(), in_force);
    let mut refused = 0;
    for line in others.lines() {
        let (said, _) = line.split_once(" -e ").unwrap();
        if said != in_force {
            refused += 1;
            assert!(said.starts_with("-1 ") && said.contains(" /own|"), "{line}");
            assert!(said.ends_with(" left: ."), "{line}");
        }
    }
    assert!(refused >= least, "{printed}");
}

#[test]
fn whatever_fails_all_is_in_force_or_nothing() {
    tampered("error=EPERM", ".", 25);
}

#[test]
fn what_the_kernel_only_says_is_not_believed() {
    tampered("retval=1", "write|mkdirat|fstatfs", 5);
}

/// With rsd_sandbox(), which also drops what it needs for it.
#[test]
fn a_sandbox_has_its_group_and_leaves_root_after_that() {
    let folder = Folder::new();
    let program = program(&folder, "sandbox");
    let script = format!(
        "echo text >f; {} now cgroup=box 'cgroup_limits=memory.max=64M pids.max=3' user=65534 - uid exec:/bin/true report
        cat /sys/fs/cgroup/box/pids.max /sys/fs/cgroup/box/memory.max",
        program.display()
    );
    let Some(printed) = in_kernel(&folder, &[], &script) else { return };
    let expected = "uid 65534\nexec:/bin/true 0\nlimits: in force: core=0\ncgroup: in force: box memory.max=64M pids.max=3\n";
    assert!(printed.starts_with(expected), "{printed}");
    assert!(printed.contains(" missing 0\n3\n67108864\n"), "{printed}");
}

/// The file that tells the group would have to be opened.
#[test]
fn a_report_does_not_end_a_process_whose_promises_forbid_to_ask() {
    let folder = Folder::new();
    let program = program(&folder, "sandbox");
    let script =
        format!("{} now cgroup=box promises=stdio otherwise=1 - report", program.display());
    let Some(printed) = in_kernel(&folder, &[], &script) else { return };
    let told = "cgroup: in force (as far as it can be asked: cannot read /proc/self/cgroup: Operation not \
                permitted): box\n";
    assert!(printed.contains(told), "{printed}");
    assert!(printed.ends_with("asked 163 missing 0\n"), "{printed}");
}
