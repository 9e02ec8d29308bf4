//! The bodies of `metrics.report` and `metrics.evidence` in JSON. Signed reports are given as they were signed, in base64: what
//! stands in them is checked by whoever executes them.

use aegis_types::{Height, MemberBits, SampledVotes, Signature, View};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::encoded::EncodedBytes;
use super::error::ApiError;

/// `metrics.report`: a validator's measurements of the epoch.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsReportJson {
    /// Canonical encoding of the signed report, in base64.
    #[schema(value_type = String)]
    pub report_base64: EncodedBytes,
    /// Of the epoch's sampled heights those whose commit certificate the validator holds, ascending.
    pub sampled: Vec<SampledVotesJson>,
}

/// What a validator says of one sampled height.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampledVotesJson {
    /// The height.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Positions in the validator set of those whose Commits it received, ascending.
    pub voters: Vec<u32>,
    /// The view of its own Commit; absent when it cast none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub view: Option<View>,
    /// The signature of that Commit in base64; absent when it cast none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub signature_base64: Option<EncodedBytes>,
}

/// `metrics.evidence`: two different reports of one validator with one number.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MetricsEvidenceJson {
    /// Canonical encoding of one signed report, in base64.
    #[schema(value_type = String)]
    pub first_base64: EncodedBytes,
    /// That of the other.
    #[schema(value_type = String)]
    pub second_base64: EncodedBytes,
}

impl SampledVotesJson {
    /// The votes, with the bits and the signature read.
    ///
    /// # Errors
    /// `invalid_argument`, naming the field.
    pub fn to_votes(&self) -> Result<SampledVotes, ApiError> {
        let positions = self.voters.iter().map(|position| usize::try_from(*position).ok());
        let positions: Option<Vec<usize>> = positions
            .map(|position| position.filter(|position| *position < MemberBits::MAX_BYTES * 8))
            .collect();
        let voters = positions.filter(|positions| positions.is_sorted_by(|a, b| a < b)).ok_or_else(|| {
            let most = MemberBits::MAX_BYTES * 8;
            ApiError::invalid("body.sampled.voters", format_args!("give positions below {most}, ascending"))
        })?;
        let own = match (self.view, &self.signature_base64) {
            (None, None) => None,
            (Some(view), Some(EncodedBytes(signature))) => {
                let signature = Signature::from_slice(signature)
                    .map_err(|error| ApiError::invalid("body.sampled.signature_base64", error))?;
                Some((view, signature))
            }
            (Some(_), None) | (None, Some(_)) => {
                return Err(ApiError::invalid(
                    "body.sampled",
                    "give both `view` and `signature_base64` of the own Commit, or neither",
                ));
            }
        };
        Ok(SampledVotes { height: self.height, voters: voters.into_iter().collect(), own })
    }
}

impl From<&SampledVotes> for SampledVotesJson {
    fn from(votes: &SampledVotes) -> Self {
        // Positions are below the size of a full set.
        let voters = votes.voters.positions().filter_map(|position| u32::try_from(position).ok());
        Self {
            height: votes.height,
            voters: voters.collect(),
            view: votes.own.map(|(view, _)| view),
            signature_base64: votes.own.map(|(_, signature)| EncodedBytes(signature.0.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(voters: &[u32]) -> SampledVotesJson {
        SampledVotesJson { height: Height(3), voters: voters.to_vec(), view: None, signature_base64: None }
    }

    #[test]
    fn positions_that_no_set_has_or_out_of_order_are_refused() {
        assert_eq!(votes(&[0, 127]).to_votes().unwrap().voters.positions().collect::<Vec<_>>(), [0, 127]);
        for wrong in [&[128][..], &[1, 1], &[2, 1], &[u32::MAX]] {
            let error = votes(wrong).to_votes().unwrap_err();
            assert_eq!(error.field.as_deref(), Some("body.sampled.voters"));
        }
    }

    #[test]
    fn a_view_without_a_signature_is_refused() {
        assert!(SampledVotesJson { view: Some(View(1)), ..votes(&[]) }.to_votes().is_err());
    }
}
