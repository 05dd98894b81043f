//! c-examples/time_server.c serves where it runs as process 1, by its hardened unit, and by its socket's.

mod common;

use std::{
    fs,
    io::Read,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use common::{
    Daemon, Folder, command, example, fail_with, foreground::Foreground, is_root, machine::Machine,
    port, read, root, run, skip, succeed, test_with, text, until,
};

#[track_caller]
fn assert_serves(stream: std::io::Result<TcpStream>) {
    let mut time = String::new();
    stream.unwrap().read_to_string(&mut time).unwrap();
    assert!(time.ends_with("\r\n") && time.contains(", 20"), "{time}");
}

/// A file that c-examples/supervisors/write.sh writes, with a program that stands here.
fn adapted(path: &str, program: &Path) -> String {
    let content = written(path);
    assert!(content.contains("/usr/local/bin/time_server"), "{content}");
    content.replace("/usr/local/bin/time_server", program.to_str().unwrap())
}

fn written(path: &str) -> String {
    let folder = Folder::new();
    let script = root().join("c-examples/supervisors/write.sh");
    succeed(Command::new("sh").arg(script).arg("time_server").arg(folder.as_ref()));
    read(&folder.path(path))
}

struct Rig {
    folder: Folder,
    program: PathBuf,
    port: u16,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let program = example(&folder, "time_server");
        Rig { folder, program, port: port() }
    }

    fn arguments(&self) -> String {
        format!("--pidfile={} -l 127.0.0.1:{}", self.pidfile().display(), self.port)
    }

    fn pidfile(&self) -> PathBuf {
        self.folder.path("d.pid")
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port))
    }
}

#[test]
fn process_1_of_a_container_serves_and_ends_on_term() {
    if !is_root() {
        return skip("needs root for a process namespace");
    }
    let rig = Rig::new();
    let program = command(&rig.program);
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
    unshare.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    unshare.arg(program.get_program()).args(program.get_args()).args(rig.arguments().split(' '));
    let unshare = Foreground::start(&rig.folder, &mut unshare, "");
    until("it serves", || rig.connect().is_ok());
    assert_serves(rig.connect());
    let [init] = unshare.process.children()[..] else { panic!("{:?}", unshare.process.children()) };
    Daemon::of_pid(init).stop();
    unshare.process.wait_end();
}

/// Under a real systemd, whose network is its own: clients come by nsenter(1).
struct Service {
    machine: Machine,
    unit: &'static str,
}

impl Service {
    #[track_caller]
    fn boot(units: &[&'static str]) -> Option<Self> {
        if test_with() == "valgrind" {
            return None; // which writes nowhere there
        }
        let folder = Folder::new();
        let program = example(&folder, "time_server");
        let places = [folder.as_ref(), &common::prefix()].map(|path| path.display().to_string());
        let service = format!(
            "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\nBindReadOnlyPaths={}",
            places.join(" ")
        );
        let adapted = |unit: &&str| match unit.ends_with(".service") {
            true => adapted(unit, &program)
                // A user of the moment needs D-Bus, and devices of its own a capability that this machine lacks; the
                // program and the library stand where the service has folders of its own.
                .replace("DynamicUser=yes\n", "User=nobody\n")
                .replace("PrivateDevices=yes\n", "")
                .replace("[Unit]", "[Unit]\nDefaultDependencies=no")
                .replace("[Service]", &service),
            false => written(unit).replace("[Unit]", "[Unit]\nDefaultDependencies=no"),
        };
        let units: Vec<_> = units.iter().map(|unit| (*unit, adapted(unit))).collect();
        let named: Vec<_> = units.iter().map(|(name, unit)| (*name, unit.as_str())).collect();
        // Users must come to the program.
        for ancestor in folder.as_ref().ancestors().take(1) {
            fs::set_permissions(ancestor, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let machine = Machine::boot(folder, &named)?;
        succeed(machine.command("ip").args(["link", "set", "lo", "up"]));
        Some(Service { machine, unit: units[0].0 })
    }

    fn systemctl(&self, verb: &str) {
        let output = run(self.machine.command("systemctl").args([verb, self.unit]));
        let status = self.get("ExecMainStatus");
        assert!(output.status.success(), "{status}: {}", self.journal());
    }

    fn get(&self, property: &str) -> String {
        let mut command = self.machine.command("systemctl");
        text(&run(command.args(["show", "--value", "--property", property, self.unit])).stdout)
            .trim_end()
            .to_owned()
    }

    fn journal(&self) -> String {
        let mut command = self.machine.command("journalctl");
        text(&run(command.args(["--quiet", "--output=cat"])).stdout)
    }

    #[track_caller]
    fn assert_serves(&self) {
        let mut client = self.machine.command("bash");
        let output = run(client.args(["-c", "exec 3<>/dev/tcp/127.0.0.1/13 && cat <&3"]));
        assert!(text(&output.stdout).contains(", 20"), "{output:?} {}", self.journal());
    }
}

#[test]
fn notify_unit_is_hardened_and_serves() {
    let Some(service) = Service::boot(&["time_server.service"]) else { return };
    service.systemctl("start");
    service.assert_serves();
    assert_eq!(service.get("StatusText"), "telling the time");
    service.systemctl("reload");
    until("it is active again", || service.get("ActiveState") == "active");
    service.assert_serves();
    service.systemctl("stop");
    assert_eq!(service.get("Result"), "success", "{}", service.journal());
}

#[test]
fn socket_unit_starts_it_for_its_first_client() {
    let Some(service) = Service::boot(&["time_server.service", "time_server.socket"]) else {
        return;
    };
    service.machine.systemctl(&["start", "time_server.socket"]);
    assert_eq!(service.get("ActiveState"), "inactive");
    service.assert_serves();
    assert_eq!(service.get("ActiveState"), "active");
    service.systemctl("stop");
}

#[test]
fn a_port_that_is_taken_is_an_error_at_once() {
    let rig = Rig::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut start = command(&rig.program);
    start.args(["start", "--pidfile", "./d.pid", "-l", &address]).current_dir(&rig.folder);
    let message = fail_with(1, &mut start);
    assert!(
        message.contains(&format!("cannot bind {address}: Address already in use")),
        "{message}"
    );
}
