//! Measures a node and its peers, and turns signed reports into scores and integer weights.
