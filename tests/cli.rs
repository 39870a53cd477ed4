//! The built program as an operator meets it: help, version, settings, checks, errors. No broker, no network.

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

/// A run with an environment of its own: no variable of the machine configures it.
fn pulsegate(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pulsegate"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("the program was built for this test")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration file that is gone after the test.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, content: &str) -> File {
        let path =
            std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::write(&path, content).expect("the directory for tests can be written");
        File(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("cargo's directories are UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("only this value removes its file");
    }
}

#[test]
fn help_shows_every_command_with_examples_to_paste() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["check", "--help"]] {
        let output = pulsegate(arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        let text = out(&output);
        assert!(text.contains("Examples:\n  pulsegate "), "{arguments:?}: {text}");
    }
    // Every line that the help offers is one that the program takes.
    let file = File::new("help", "brokerServiceUrl=pulsar://localhost:6650");
    let help = out(&pulsegate(&["serve", "--help"], &[]));
    let lines: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  pulsegate ")).collect();
    assert!(lines.len() >= 4, "{help}");
    for line in lines {
        let mut arguments: Vec<_> = line
            .split(' ')
            .map(|word| if word.ends_with("websocket.conf") { file.path() } else { word })
            .collect();
        arguments.retain(|word| *word != "--print-config" && *word != "0,2-3" && *word != "--cores");
        arguments.push("--print-config");
        let output = pulsegate(&arguments, &[]);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", err(&output));
    }
}

#[test]
fn the_version_names_release_and_commit() {
    let output = pulsegate(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = out(&output);
    let (name, commit) = text.trim_end().split_once(" (").expect("version and commit");
    assert_eq!(name, concat!("pulsegate ", env!("CARGO_PKG_VERSION")));
    assert!(commit.ends_with(')') && commit.len() > 1, "{text}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for arguments in [&[][..], &["serv"], &["serve", "--set", "novalue"], &["serve", "--nope"]] {
        let output = pulsegate(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!err(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn print_config_shows_values_with_their_origins_and_no_secrets() {
    let file =
        File::new("origins", "brokerServiceUrl=pulsar://file:6650\nwebServicePort=1\nclusterName=one\n");
    let arguments = [
        "serve",
        "--config",
        file.path(),
        "--set",
        "webServicePort=3",
        "--set",
        "brokerClientAuthenticationPlugin=token",
        "--set",
        "brokerClientAuthenticationParameters=token:s3cret",
        "--print-config",
    ];
    let output = pulsegate(&arguments, &[("PULSAR_PREFIX_webServicePort", "2"), ("clusterName", "two")]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    for expected in [
        &format!("({}:1)\nbrokerServiceUrl=pulsar://file:6650\n", file.path()),
        "(--set)\nwebServicePort=3\n",
        "(environment clusterName)\nclusterName=two\n",
        "[ms] (default)\nwebSocketSessionIdleTimeoutMillis=300000\n",
        "\nbrokerClientAuthenticationParameters=<hidden>\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in {text}");
    }
    assert!(!text.contains("s3cret") && !err(&output).contains("s3cret"));
}

#[test]
fn configuration_errors_are_exit_code_2_and_name_place_and_mend() {
    let file =
        File::new("faults", "\nbrokerServicUrl=pulsar://b\nauthenticationEnabled=true\nwebServicePort=x\n");
    for command in ["serve", "check"] {
        let output = pulsegate(&[command, "--config", file.path()], &[]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        let path = file.path();
        let lines = err(&output);
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.len(), 3, "{lines:?}");
        let unknown =
            format!("error: {path}:2: unknown setting brokerServicUrl; did you mean brokerServiceUrl?");
        assert_eq!(lines[0], unknown);
        assert!(
            lines[1].starts_with(&format!("error: {path}:3: authenticationEnabled cannot be switched on: "))
        );
        assert!(lines[2].starts_with(&format!("error: {path}:4: webServicePort: ")));
    }
    for (arguments, expected) in [
        (&["serve"][..], "set brokerServiceUrl=pulsar://HOST:6650"),
        (&["serve", "--config", "/nowhere/websocket.conf"], "/nowhere/websocket.conf"),
        (
            &["serve", "--set", "brokerServiceUrl=pulsar://b", "--cores", "4000"],
            "--cores: cores: this process may not",
        ),
        (&["serve", "--set", "brokerServiceUrl=pulsar+ssl://b"], "needs TLS"),
    ] {
        let output = pulsegate(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(expected), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn check_tells_what_stands_in_the_way() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let broker = format!("brokerServiceUrl=pulsar://{taken}");
    let common =
        ["check", "--set", &broker, "--set", "bindAddress=127.0.0.1", "--set", "driver=portable", "--set"];

    let output = pulsegate(&[&common[..], &["webServicePort=0"]].concat(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(out(&output).contains(&format!("{taken} takes connections")), "{}", out(&output));

    let port = format!("webServicePort={}", taken.port());
    let output = pulsegate(&[&common[..], &[&port]].concat(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    let failed = format!("failed  port            cannot listen on {taken}");
    assert!(out(&output).contains(&failed), "{}", out(&output));
}

#[test]
fn serve_on_a_taken_port_fails_with_the_mend() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("webServicePort={}", listener.local_addr().unwrap().port());
    let common =
        ["serve", "--set", "brokerServiceUrl=pulsar://127.0.0.1:1", "--set", "bindAddress=127.0.0.1"];
    let output = pulsegate(&[&common[..], &["--set", &port]].concat(), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("stop it or set webServicePort"), "{}", err(&output));
}

#[test]
fn the_sample_configuration_is_valid_and_says_what_the_defaults_are() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/websocket.conf");
    let values = |arguments: &[&str]| {
        let output = pulsegate(&[&["serve", "--print-config"], arguments].concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let is_setting = |line: &&str| !line.starts_with('#');
        out(&output).lines().filter(is_setting).map(str::to_owned).collect::<Vec<_>>()
    };
    let broker = "brokerServiceUrl=pulsar://localhost:6650";
    assert_eq!(values(&["--config", sample]), values(&["--set", broker]));
    // What is commented out is a setting too, and legal.
    let text = std::fs::read_to_string(sample).unwrap();
    let all: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && rest.contains('=')).unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let file = File::new("sample", &all);
    assert!(values(&["--config", file.path()]).contains(&"serviceUrl=http://localhost:8080".to_owned()));
}

#[test]
fn serve_says_where_it_listens_and_stops_on_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pulsegate"))
            .args(["serve", "--set", "brokerServiceUrl=pulsar://127.0.0.1:1", "--set", "webServicePort=0"])
            .args(["--set", "bindAddress=127.0.0.1", "--set", "shutdownSpreadMillis=0"])
            .env_clear()
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built for this test");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut line_with = |words: &str| log.find(|line| line.contains(words)).expect(words);
        let listening = line_with("listening on ");
        let (_, rest) = listening.split_once("listening on ").unwrap();
        let (address, _) = rest.split_once(',').unwrap();
        let pasted = line_with("try it: curl http://");
        assert!(pasted.ends_with(&format!("http://{address}/readyz")), "{pasted}");
        drop(TcpStream::connect(address).unwrap());
        kill_process(Pid::from_child(&child), signal).unwrap();
        line_with("stopping on SIG");
        line_with("stopped");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
    }
}
