//! AppArmor and SELinux, as a C program is confined by them: in kernels of the test's own, which have them.

mod common;

use common::{Folder, kernel::in_kernel, passes, program};

const APPARMOR: &[&str] = &["lsm=apparmor", "apparmor=1"];
const SELINUX: &[&str] = &["lsm=selinux", "selinux=1"];
const NEITHER: &[&str] = &["lsm=yama"];

/// What a script prints in which $C is the program.
#[track_caller]
fn prints(parameters: &[&str], script: &str, expected: &str) {
    let folder = Folder::new();
    let program = program(&folder, "confinement");
    let script = format!("C={}\n{script}", program.display());
    if let Some(printed) = in_kernel(&folder, parameters, &script) {
        assert_eq!(printed, expected);
    }
}

#[test]
fn a_bad_name_is_refused() {
    passes("confinement", &["bad-names"]);
}

#[test]
fn without_the_module_it_is_told_that_it_is_missing() {
    let apparmor = "-1 95 AppArmor is not enabled in this kernel\n";
    let selinux = "-1 95 SELinux is not enabled in this kernel\n";
    let both = "$C profile unconfined; $C context kernel";
    prints(NEITHER, both, &format!("{apparmor}{selinux}"));
    prints(SELINUX, both, &format!("{apparmor}0 0 \n"));
    prints(APPARMOR, both, &format!("0 0 \n{selinux}"));
}

#[test]
fn what_a_profile_does_not_allow_is_refused_from_then_on() {
    prints(APPARMOR, "$C threads && $C profile && echo good", "good\n");
}

#[test]
fn a_context_is_in_force_if_the_policy_knows_it() {
    prints(SELINUX, "$C context && echo good", "good\n");
}

/// Each call fails, or does nothing and says that it worked; and without /proc.
#[test]
fn whatever_fails_is_told() {
    prints(
        APPARMOR,
        "attempt() { strace -qq -o trace -e trace=openat,pread64,write \"$@\" $C profile unconfined; }
        attempt
        first=$(awk '/^openat/ { opened++ } /apparmor.parameters/ { print opened }' trace)
        asked=$(grep -c ^pread64 trace); told=$(grep -c ^write trace); told=$((told - 1))
        attempt -e inject=openat:error=EACCES:when=$first
        attempt -e inject=openat:error=EMFILE:when=$((first + 1))
        attempt -e inject=pread64:error=EIO:when=$asked
        attempt -e inject=pread64:error=EIO:when=$((asked - 1))
        attempt -e inject=write:error=EPERM:when=$told
        strace -qq -o trace -e trace=write -e inject=write:retval=17:when=1 $C profile box
        unshare -m sh -c \"mount -t tmpfs tmpfs /proc; $C profile unconfined; $C context kernel\"
        unshare -m sh -c \"mount -t tmpfs tmpfs /sys; $C profile unconfined\"",
        "0 0 \n\
         -1 13 cannot read /sys/module/apparmor/parameters/enabled: Permission denied\n\
         -1 24 cannot change the AppArmor profile to unconfined: Too many open files\n\
         -1 5 cannot change the AppArmor profile to unconfined: Input/output error\n\
         -1 5 cannot read /sys/module/apparmor/parameters/enabled: Input/output error\n\
         -1 1 cannot change the AppArmor profile to unconfined: Operation not permitted\n\
         -1 1 the AppArmor profile box was set but is not in force\n\
         -1 2 cannot change the AppArmor profile to unconfined: No such file or directory\n\
         -1 2 cannot read /proc/filesystems: No such file or directory\n\
         -1 95 AppArmor is not enabled in this kernel\n",
    );
}
