//! A kernel of one's own (user-mode Linux), for what this machine's kernel lacks or what belongs to the machine. It
//! sees the machine's files, and can only write to the test's folder.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use super::{Folder, is_root, run, skip, test_with, text};

/// Runs a script as the first process of such a kernel and returns what it printed. `None`, and said so, where that
/// cannot be done: there is a package for x86 only, and valgrind and sanitizers are too slow in it.
pub fn in_kernel(folder: &Folder, parameters: &[&str], script: &str) -> Option<String> {
    if !test_with().is_empty() {
        return None;
    }
    let kernel = Path::new("/usr/bin/linux.uml");
    if !kernel.exists() || !is_root() {
        skip("needs root and user-mode Linux");
        return None;
    }
    let place = folder.as_ref().display().to_string();
    let first = folder.path("first");
    let whole = format!(
        "#!/bin/sh
        export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/
        mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t cgroup2 cgroup2 /sys/fs/cgroup
        mount -t securityfs securityfs /sys/kernel/security
        mount -t hostfs none {place} -o {place}
        cd {place}
        ( {script}
        ) >printed 2>&1
        echo end >>printed
        echo o >/proc/sysrq-trigger
        read end_of_the_kernel"
    );
    fs::write(&first, whole).unwrap();
    fs::set_permissions(&first, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(kernel).env("TMPDIR", &place);
    command.args(["mem=160M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"]);
    command.arg(format!("init={}", first.display())).arg(format!("uml_dir={place}"));
    command.args(["con=null", "con0=null,fd:1", "panic=-1"]).args(parameters);
    let output = run(&mut command);
    let printed = fs::read_to_string(folder.path("printed")).unwrap_or_default();
    match printed.strip_suffix("end\n") {
        Some(printed) => Some(printed.to_owned()),
        None => panic!("{printed}\n{}", text(&output.stdout)),
    }
}
