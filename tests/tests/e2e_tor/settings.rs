//! Settings that contradict each other are refused before anything starts.

use crate::cluster::{Cluster, aegis};

fn refusal(settings: &[&str]) -> String {
    refusal_in(&Cluster::new(&[1], &[]), settings)
}

fn refusal_in(cluster: &Cluster, settings: &[&str]) -> String {
    let home = cluster.nodes[0].home.to_str().unwrap();
    let mut arguments = vec!["--home", home, "run", "--rpc-listen", "127.0.0.1:0"];
    arguments.extend(settings);
    aegis(&arguments).expect_err("it is refused")
}

#[test]
fn a_node_with_nothing_but_tor_refuses_direct_addresses() {
    let listen = refusal(&["--tor", "only", "--listen", "/ip4/127.0.0.1/tcp/0"]);
    assert!(listen.contains("p2p.listen") && listen.contains("onion"), "{listen}");
    let bootstrap = refusal(&["--tor", "only", "--bootstrap", "/dns4/a.example.org/tcp/7003"]);
    assert!(bootstrap.contains("p2p.bootstrap") && bootstrap.contains("a.example.org"), "{bootstrap}");
}

#[test]
fn keys_bridges_and_modes_that_cannot_be_read_are_named() {
    let mode = refusal(&["--tor", "always"]);
    assert!(mode.contains("p2p.tor.mode") && mode.contains("only"), "{mode}");
    let key = refusal(&["--tor", "only", "--set", "p2p.tor.authorized_clients=abc"]);
    assert!(key.contains("p2p.tor.authorized_clients"), "{key}");
    let bridge = refusal(&["--tor", "only", "--set", "p2p.tor.bridges=abc"]);
    assert!(bridge.contains("p2p.tor.bridges"), "{bridge}");
    let network = refusal(&["--tor", "only", "--set", "p2p.tor.network=missing.toml"]);
    assert!(network.contains("missing.toml"), "{network}");
}

#[test]
fn a_home_that_ran_with_nothing_but_tor_is_not_shown_when_the_mode_is_left_out() {
    let cluster = Cluster::new(&[1], &[]);
    // It ends before it does anything; that it was to be hidden is noted all the same.
    let missing = refusal_in(&cluster, &["--tor", "only", "--set", "p2p.tor.network=missing.toml"]);
    assert!(missing.contains("missing.toml"), "{missing}");
    // Refused later than a mode, so that the test ends either way.
    let nonsense = ["--set", "p2p.test_link_delays=nonsense"];
    let plain = refusal_in(&cluster, &nonsense);
    assert!(plain.contains("nothing but Tor") && plain.contains("--tor only"), "{plain}");
    let named = refusal_in(&cluster, &["--tor", "off", nonsense[0], nonsense[1]]);
    assert!(named.contains("nonsense"), "a mode that is named is run: {named}");
}
