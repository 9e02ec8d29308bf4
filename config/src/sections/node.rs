//! `[node]`

section! {
    /// The node itself.
    pub struct NodeSection as "node" {
        /// Name that peers see beside the node's id, up to 64 characters. It decides nothing and need not be unique.
        name: String = String::new();
    }
}
