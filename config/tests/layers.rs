//! Files, environment and flags, as a user writes them.

use std::path::Path;
use std::time::Duration;

use aegis_config::{Config, ConfigError, Effective, Layers, LogFormat, Source, TorMode, render};

fn file(text: &str) -> Result<Effective, ConfigError> {
    Layers::new().with_file(Path::new("config.toml"), text.to_owned()).resolve()
}

fn refusal(text: &str) -> String {
    file(text).expect_err("a refusal").to_string()
}

fn environment(name: &str, value: &str) -> Result<Effective, ConfigError> {
    Layers::new().with_environment([(name.to_owned(), value.to_owned())]).resolve()
}

#[test]
fn the_example_lists_every_key_with_its_meaning_default_and_variable() {
    let example = Config::example();
    let effective = file(&example).expect("the example is valid");
    assert_eq!(effective.config, Config::default());
    assert_eq!(
        effective.entries().count(),
        Config::SECTIONS.iter().map(|section| section.keys.len()).sum::<usize>()
    );
    for entry in effective.entries() {
        assert_eq!(entry.source, Source::Default);
        assert!(
            example.contains(&format!("\n#{} = {}\n", entry.key.name, entry.value)),
            "{}",
            entry.key.name
        );
        let variable = entry.section.variable(entry.key);
        assert!(
            example.contains(&format!("Default: {}. Environment: {variable}.\n", entry.value)),
            "{variable}"
        );
        assert!(!entry.key.meaning.concat().trim().is_empty());
    }
}

#[test]
fn the_example_with_every_key_uncommented_still_means_the_defaults() {
    let is_setting = |line: &str| {
        line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
    };
    let uncommented: String = Config::example()
        .lines()
        .map(|line| if is_setting(line) { format!("{}\n", &line[1..]) } else { format!("{line}\n") })
        .collect();
    let effective = file(&uncommented).expect("valid");
    assert_eq!(effective.config, Config::default());
    assert!(effective.entries().all(|entry| matches!(entry.source, Source::File { .. })));
}

#[test]
fn a_rendered_file_sets_what_it_was_given_and_nothing_else() {
    let address = "/ip4/192.0.2.1/tcp/7003";
    let text = render(&[("p2p.bootstrap", toml::Value::Array(vec![address.into()]))]);
    let effective = file(&text).expect("valid");
    assert_eq!(effective.config.p2p.bootstrap, [address]);
    assert_eq!(effective.entries().filter(|entry| entry.source != Source::Default).count(), 1);
}

#[test]
fn later_layers_win_key_by_key_and_each_value_knows_its_origin() {
    let effective = Layers::new()
        .with_file(
            Path::new("config.toml"),
            "[consensus]\nbatch_delay = \"7ms\"\nbatch_proposals = 10\npending_proposals = 11\n".to_owned(),
        )
        .with_environment([
            ("AEGIS_CONSENSUS_BATCH_PROPOSALS".to_owned(), "20".to_owned()),
            ("AEGIS_CONSENSUS_PENDING_PROPOSALS".to_owned(), "21".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ])
        .with_flag("--set", "consensus.pending_proposals", "31")
        .resolve()
        .expect("valid");
    let consensus = &effective.config.consensus;
    assert_eq!(consensus.batch_delay.get(), Duration::from_millis(7));
    assert_eq!((consensus.batch_proposals, consensus.pending_proposals), (20, 31));
    let layer = |path: &str| effective.source(path).layer();
    assert_eq!(layer("consensus.batch_bytes"), "default");
    assert_eq!(effective.source("consensus.batch_delay").to_string(), "config.toml:2");
    assert_eq!(layer("consensus.batch_proposals"), "environment");
    assert_eq!(layer("consensus.pending_proposals"), "flag");
}

#[test]
fn lists_numbers_switches_and_names_are_read_from_the_environment_without_quotes() {
    let list =
        environment("AEGIS_P2P_BOOTSTRAP", "/ip4/192.0.2.1/tcp/1, /ip4/192.0.2.2/tcp/2").expect("valid");
    assert_eq!(list.config.p2p.bootstrap, ["/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/2"]);
    let kinds = environment("AEGIS_CONSENSUS_AUTO_VOTE", "text,validator.add").expect("valid");
    assert_eq!(kinds.config.consensus.auto_vote.len(), 2);
    let format = environment("AEGIS_TELEMETRY_LOG_FORMAT", "json").expect("valid");
    assert_eq!(format.config.telemetry.log_format, LogFormat::Json);
    let rate = environment("AEGIS_RPC_REQUESTS_PER_SECOND", "7").expect("valid");
    assert_eq!(rate.config.rpc.requests_per_second, 7);
    let error = environment("AEGIS_RPC_WATCHERS_MAX", "many").expect_err("no number").to_string();
    assert!(
        error.contains("environment AEGIS_RPC_WATCHERS_MAX") && error.contains("whole number"),
        "{error}"
    );
}

#[test]
fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_known_key() {
    let error = refusal("[p2p]\nlisten = []\nbootstarp = []\n");
    assert!(error.starts_with("config.toml:3:"), "{error}");
    assert!(error.contains("did you mean `p2p.bootstrap`?"), "{error}");
    let error = refusal("\n[cosensus]\nbatch_delay = \"2ms\"\n");
    assert!(error.starts_with("config.toml:2:") && error.contains("`consensus`"), "{error}");
}

#[test]
fn a_key_in_the_wrong_section_or_in_none_is_shown_its_place() {
    let error = refusal("[node]\nbootstrap = []\n");
    assert!(error.contains("did you mean `p2p.bootstrap`?"), "{error}");
    let error = refusal("bootstrap = []\n");
    assert!(error.contains("did you mean `p2p.bootstrap`?"), "{error}");
    let error = refusal("p2p = 3\n");
    assert!(error.contains("[p2p]"), "{error}");
}

#[test]
fn an_agreed_parameter_is_refused_with_the_way_to_change_it() {
    for text in ["[consensus]\nwindow = 8\n", "window = 8\n"] {
        let error = refusal(text);
        assert!(error.contains("agreed by all nodes") && error.contains("param.set window"), "{error}");
    }
    let error = refusal("[consensus]\nview_timeout = \"2s\"\n");
    assert!(error.contains("param.set view_timeout_ms"), "{error}");
    let error = environment("AEGIS_CONSENSUS_WINDOW", "8").expect_err("agreed").to_string();
    assert!(error.contains("param.set window"), "{error}");
    let error = refusal("[parameters]\nwindow = 8\n");
    assert!(error.contains("genesis.toml"), "{error}");
}

#[test]
fn a_misspelt_variable_is_refused_and_a_foreign_one_is_left_alone() {
    let error = environment("AEGIS_P2P_LISTN", "x").expect_err("misspelt").to_string();
    assert!(error.contains("did you mean `AEGIS_P2P_LISTEN`?"), "{error}");
    for foreign in ["AEGIS_HOME", "AEGIS_RPC", "AEGIS_SOMETHING_ELSE"] {
        assert!(environment(foreign, "x").is_ok(), "{foreign}");
    }
}

#[test]
fn a_misspelt_flag_is_refused_by_its_name() {
    let unknown = Layers::new().with_flag("--set", "rpc.lisen", "127.0.0.1:1").resolve();
    let error = unknown.expect_err("misspelt").to_string();
    assert!(error.contains("flag --set") && error.contains("`rpc.listen`"), "{error}");
    assert!(Layers::new().with_flag("--set", "listen", "x").resolve().is_err());
}

#[test]
fn values_of_the_wrong_form_are_refused_with_key_and_line() {
    let error = refusal("[consensus]\nbatch_delay = 5\n");
    assert!(error.contains("`consensus.batch_delay` (config.toml:2)"), "{error}");
    let error = refusal("[store]\ncache = \"64\"\n");
    assert!(error.contains("64MiB"), "{error}");
    let error = refusal("[consensus]\nauto_vote = [\"txt\"]\n");
    assert!(error.contains("known kinds"), "{error}");
    let error = refusal("[rpc]\nlisten = [\n");
    assert!(error.starts_with("config.toml:"), "{error}");
}

#[test]
fn an_exposed_interface_without_tls_is_refused_with_the_reason() {
    let open = "[rpc]\nlisten = \"0.0.0.0:8003\"\n";
    let error = refusal(open);
    assert!(error.contains("can be reached by others") && error.contains("config.toml:2"), "{error}");
    assert!(file(&format!("{open}tls_certificate = \"a.pem\"\n")).is_err());
    assert!(file(&format!("{open}tls_certificate = \"a.pem\"\ntls_key = \"b.pem\"\n")).is_ok());
    assert!(file("[rpc]\nlisten = \"[::1]:8003\"\n").is_ok());
    assert!(file("[rpc]\ntls_key = \"b.pem\"\n").is_err());
}

#[test]
fn values_outside_what_other_nodes_accept_are_refused() {
    for text in [
        "[consensus]\nbatch_bytes = \"2MiB\"\n",
        "[consensus]\nbatch_proposals = 4097\n",
        "[consensus]\nbatch_proposals = 0\n",
        "[consensus]\nbatch_delay = \"2s\"\n",
        "[consensus]\npending_bytes = \"1KiB\"\n",
        "[consensus]\nauto_vote = [\"kv.put\"]\n",
        "[p2p]\nlisten = [\"127.0.0.1:7003\"]\n",
        "[store]\nlog_segment = \"1KiB\"\n",
        "[node]\nname = \"two\\nlines\"\n",
    ] {
        assert!(file(text).is_err(), "{text}");
    }
}

#[test]
fn a_missing_file_and_a_huge_one_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("none.toml");
    let error = Layers::new().read_file(&missing).expect_err("missing").to_string();
    assert!(error.contains("none.toml"), "{error}");
    let huge = folder.path().join("huge.toml");
    std::fs::write(&huge, vec![b'#'; (1 << 20) + 1]).expect("written");
    assert!(matches!(Layers::new().read_file(&huge), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn an_archive_syncs_by_blocks_and_refuses_to_be_told_otherwise() {
    let archive = || Layers::new().with_flag("--set", "store.archive", "true");
    let effective = archive().resolve().expect("valid");
    assert_eq!(effective.config.sync.mode, aegis_config::SyncMode::Blocks);
    assert_eq!(effective.source("sync.mode"), Source::Implied { by: "store.archive" });
    archive().with_flag("--sync", "sync.mode", "blocks").resolve().expect("the same, said twice");

    let error = archive().with_flag("--sync", "sync.mode", "snapshot").resolve().expect_err("refused");
    let error = error.to_string();
    assert!(
        error.contains("sync.mode") && error.contains("--sync") && error.contains("store.archive"),
        "{error}"
    );
    let other = Layers::new().resolve().expect("valid");
    assert_eq!(other.config.sync.mode, aegis_config::SyncMode::Snapshot);
}

#[test]
fn a_section_within_a_section_is_read_from_file_environment_and_flag() {
    let written = file("[p2p]\nconnections_inbound_max = 9\n\n[p2p.tor]\nmode = \"also\"\n").unwrap();
    assert_eq!((written.config.p2p.connections_inbound_max, written.config.tor.mode), (9, TorMode::Also));
    assert_eq!(written.source("p2p.tor.mode").to_string(), "config.toml:5");
    let variable = environment("AEGIS_P2P_TOR_MODE", "also").unwrap();
    assert_eq!(variable.config.tor.mode, TorMode::Also);
    let flag = Layers::new().with_flag("--tor", "p2p.tor.mode", "also").resolve().unwrap();
    assert_eq!(flag.config.tor.mode, TorMode::Also);
    assert!(refusal("[p2p.tor]\nmod = \"also\"\n").contains("did you mean `p2p.tor.mode`?"));
    assert!(refusal("[p2p]\ntor = \"also\"\n").contains("[p2p.tor]"));
    let misspelt = environment("AEGIS_P2P_TOR_MODES", "also").unwrap_err().to_string();
    assert!(misspelt.contains("AEGIS_P2P_TOR_MODE"), "{misspelt}");
}

#[test]
fn a_node_with_nothing_but_tor_listens_nowhere_else_and_refuses_to_be_told_otherwise() {
    let only = file("[p2p.tor]\nmode = \"only\"\n").unwrap();
    assert_eq!(only.config.p2p.listen, Vec::<String>::new());
    assert_eq!(only.source("p2p.listen"), Source::Implied { by: "p2p.tor.mode" });
    for key in ["listen", "external", "bootstrap"] {
        let text = format!("[p2p]\n{key} = [\"/ip4/192.0.2.1/tcp/7003\"]\n\n[p2p.tor]\nmode = \"only\"\n");
        let reason = refusal(&text);
        assert!(reason.contains(&format!("p2p.{key}")) && reason.contains("192.0.2.1"), "{reason}");
    }
    assert!(refusal("[p2p.tor]\nmode = \"always\"\n").contains("only"));
    assert!(refusal("[p2p.tor]\npluggable_transports = [\"obfs4=/bin/x\"]\n").contains("p2p.tor.bridges"));
}

#[test]
fn a_program_without_tor_says_so_before_anything_about_addresses() {
    let layers = |mode: &str| {
        let text =
            format!("[p2p]\nbootstrap = [\"/ip4/192.0.2.1/tcp/7003\"]\n\n[p2p.tor]\nmode = \"{mode}\"\n");
        Layers::new().with_file("config.toml".as_ref(), text).without_tor()
    };
    for mode in ["only", "also"] {
        let told = layers(mode).resolve().unwrap_err().to_string();
        assert!(told.contains("config.toml:5") && told.contains("built without Tor"), "{told}");
        assert!(!told.contains("192.0.2.1"), "{told}");
    }
    assert_eq!(layers("off").resolve().unwrap().config.tor.mode, TorMode::Off);
}
