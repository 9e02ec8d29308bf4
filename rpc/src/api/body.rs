//! Proposal bodies in JSON: `{"kind": "kv.put", "body": {"key": "a", "value": "text"}}`.
//!
//! Values are given as `value` (text) or `value_base64`, one of the two. Unknown fields are refused: a misspelt field must not
//! pass for an absent one in something that gets signed.

use aegis_types::{Canonical, Kind, ProposalBody, ProposalId, TypesError, ValidatorId, Vote, Weight};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::encoded::EncodedBytes;
use super::error::ApiError;
use super::report_body::{MetricsEvidenceJson, MetricsReportJson, SampledVotesJson};

/// A proposal's kind and body in JSON. Reading checks nothing: [`ProposalBodyJson::to_body`] does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposalBodyJson {
    /// The kind, such as `kv.put`.
    #[schema(example = "kv.put")]
    pub kind: String,
    /// The kind's fields.
    #[schema(value_type = BodyFields)]
    pub body: Value,
}

impl ProposalBodyJson {
    /// The body, checked against the protocol's limits.
    ///
    /// # Errors
    /// `unknown_kind`; `too_large` or `invalid_argument`, naming the field.
    pub fn to_body(&self) -> Result<ProposalBody, ApiError> {
        let kind: Kind = self.kind.parse()?;
        let body = match kind {
            Kind::KvPut => {
                let KvPutJson { key, value, value_base64 } = self.fields()?;
                ProposalBody::KvPut { key, value: read_value(value, value_base64)? }
            }
            Kind::KvDelete => ProposalBody::KvDelete { key: self.fields::<KvDeleteJson>()?.key },
            Kind::KvCas => {
                let KvCasJson { key, expected_version, value, value_base64 } = self.fields()?;
                ProposalBody::KvCas { key, expected_version, value: read_value(value, value_base64)? }
            }
            Kind::Text => {
                let TextJson { title, text } = self.fields()?;
                ProposalBody::Text { title, text }
            }
            Kind::ParamSet => {
                let ParamSetJson { name, value } = self.fields()?;
                ProposalBody::ParamSet { name, value }
            }
            Kind::ValidatorAdd => {
                let ValidatorAddJson { validator, weight } = self.fields()?;
                ProposalBody::ValidatorAdd { validator, weight }
            }
            Kind::ValidatorRemove => {
                ProposalBody::ValidatorRemove { validator: self.fields::<ValidatorRemoveJson>()?.validator }
            }
            Kind::ProposalVote => {
                let ProposalVoteJson { proposal, approve } = self.fields()?;
                ProposalBody::ProposalVote { proposal, approve }
            }
            Kind::Evidence => {
                let EvidenceJson { first_base64, second_base64 } = self.fields()?;
                ProposalBody::Evidence {
                    first: Box::new(read_vote("body.first_base64", &first_base64)?),
                    second: Box::new(read_vote("body.second_base64", &second_base64)?),
                }
            }
            Kind::MetricsReport => {
                let MetricsReportJson { report_base64, sampled } = self.fields()?;
                let sampled = sampled.iter().map(SampledVotesJson::to_votes);
                ProposalBody::MetricsReport {
                    report: report_base64.0,
                    sampled: sampled.collect::<Result<_, _>>()?,
                }
            }
            Kind::MetricsEvidence => {
                let MetricsEvidenceJson { first_base64, second_base64 } = self.fields()?;
                ProposalBody::MetricsEvidence { first: first_base64.0, second: second_base64.0 }
            }
        };
        body.check().map_err(in_body)?;
        Ok(body)
    }

    fn fields<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        T::deserialize(&self.body)
            .map_err(|error| ApiError::invalid("body", format_args!("{}: {error}", self.kind)))
    }
}

impl From<&ProposalBody> for ProposalBodyJson {
    fn from(body: &ProposalBody) -> Self {
        let fields = match body.clone() {
            ProposalBody::KvPut { key, value } => {
                let (value, value_base64) = write_value(value);
                BodyFields::KvPut(KvPutJson { key, value, value_base64 })
            }
            ProposalBody::KvDelete { key } => BodyFields::KvDelete(KvDeleteJson { key }),
            ProposalBody::KvCas { key, expected_version, value } => {
                let (value, value_base64) = write_value(value);
                BodyFields::KvCas(KvCasJson { key, expected_version, value, value_base64 })
            }
            ProposalBody::Text { title, text } => BodyFields::Text(TextJson { title, text }),
            ProposalBody::ParamSet { name, value } => BodyFields::ParamSet(ParamSetJson { name, value }),
            ProposalBody::ValidatorAdd { validator, weight } => {
                BodyFields::ValidatorAdd(ValidatorAddJson { validator, weight })
            }
            ProposalBody::ValidatorRemove { validator } => {
                BodyFields::ValidatorRemove(ValidatorRemoveJson { validator })
            }
            ProposalBody::ProposalVote { proposal, approve } => {
                BodyFields::ProposalVote(ProposalVoteJson { proposal, approve })
            }
            ProposalBody::Evidence { first, second } => BodyFields::Evidence(EvidenceJson {
                first_base64: EncodedBytes(first.encode()),
                second_base64: EncodedBytes(second.encode()),
            }),
            ProposalBody::MetricsReport { report, sampled } => BodyFields::MetricsReport(MetricsReportJson {
                report_base64: EncodedBytes(report),
                sampled: sampled.iter().map(SampledVotesJson::from).collect(),
            }),
            ProposalBody::MetricsEvidence { first, second } => {
                BodyFields::MetricsEvidence(MetricsEvidenceJson {
                    first_base64: EncodedBytes(first),
                    second_base64: EncodedBytes(second),
                })
            }
        };
        // Structs of text, numbers and booleans always have a JSON form.
        let json = serde_json::to_value(fields).unwrap_or_default();
        Self { kind: body.kind().name().to_owned(), body: json }
    }
}

fn read_value(text: Option<String>, base64: Option<EncodedBytes>) -> Result<Vec<u8>, ApiError> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(EncodedBytes(bytes))) => Ok(bytes),
        (None, None) | (Some(_), Some(_)) => Err(ApiError::invalid(
            "body.value",
            "give either `value` (text) or `value_base64`, one of the two",
        )),
    }
}

fn write_value(value: Vec<u8>) -> (Option<String>, Option<EncodedBytes>) {
    match String::from_utf8(value) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(EncodedBytes(error.into_bytes()))),
    }
}

fn read_vote(field: &str, encoding: &EncodedBytes) -> Result<Vote, ApiError> {
    Vote::decode(&encoding.0).map_err(|error| ApiError::invalid(field, error))
}

fn in_body(error: TypesError) -> ApiError {
    let error = ApiError::from(error);
    ApiError { field: error.field.map(|field| format!("body.{field}")), ..error }
}

/// The fields of each kind; for writing and for the OpenAPI document.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BodyFields {
    /// `kv.put`
    KvPut(KvPutJson),
    /// `kv.delete`
    KvDelete(KvDeleteJson),
    /// `kv.cas`
    KvCas(KvCasJson),
    /// `text`
    Text(TextJson),
    /// `param.set`
    ParamSet(ParamSetJson),
    /// `validator.add`
    ValidatorAdd(ValidatorAddJson),
    /// `validator.remove`
    ValidatorRemove(ValidatorRemoveJson),
    /// `proposal.vote`
    ProposalVote(ProposalVoteJson),
    /// `evidence`
    Evidence(EvidenceJson),
    /// `metrics.report`
    MetricsReport(MetricsReportJson),
    /// `metrics.evidence`
    MetricsEvidence(MetricsEvidenceJson),
}

/// `kv.put`: sets a key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvPutJson {
    /// The key: 1 to 512 bytes without control characters.
    pub key: String,
    /// The value as text; this or `value_base64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64, at most 64 KiB when decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub value_base64: Option<EncodedBytes>,
}

/// `kv.delete`: removes a key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvDeleteJson {
    /// The key.
    pub key: String,
}

/// `kv.cas`: sets a key if its version is the expected one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KvCasJson {
    /// The key.
    pub key: String,
    /// The version that the key must have; 0 when it must not exist.
    pub expected_version: u64,
    /// The value as text; this or `value_base64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value in base64, at most 64 KiB when decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub value_base64: Option<EncodedBytes>,
}

/// `text`: puts a decision on record.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TextJson {
    /// One line.
    pub title: String,
    /// The decision.
    pub text: String,
}

/// `param.set`: sets an agreed parameter.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ParamSetJson {
    /// The parameter's name.
    pub name: String,
    /// Its new value as text.
    pub value: String,
}

/// `validator.add`: adds a validator or changes its weight.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidatorAddJson {
    /// The node's key.
    #[schema(value_type = String)]
    pub validator: ValidatorId,
    /// Its weight, 1 to 2^32.
    #[schema(value_type = u64)]
    pub weight: Weight,
}

/// `validator.remove`: removes a validator.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidatorRemoveJson {
    /// The node's key.
    #[schema(value_type = String)]
    pub validator: ValidatorId,
}

/// `proposal.vote`: a validator's vote on a voted proposal.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposalVoteJson {
    /// The proposal.
    #[schema(value_type = String)]
    pub proposal: ProposalId,
    /// Yes or no.
    pub approve: bool,
}

/// `evidence`: two contradictory votes of one validator.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceJson {
    /// Canonical encoding of one vote, in base64.
    #[schema(value_type = String)]
    pub first_base64: EncodedBytes,
    /// Canonical encoding of the other.
    #[schema(value_type = String)]
    pub second_base64: EncodedBytes,
}

#[cfg(test)]
mod tests {
    use aegis_types::{Epoch, Hash, Height, SampledVotes, Signature, View, VoteContent, VoteKind};
    use serde_json::json;

    use super::*;
    use crate::api::ErrorCode;

    fn vote(digest: u8) -> Box<Vote> {
        let content = VoteContent {
            kind: VoteKind::Commit,
            epoch: Epoch(1),
            view: View(2),
            height: Height(3),
            digest: Hash([digest; 32]),
        };
        Box::new(Vote { content, validator: ValidatorId([7; 32]), signature: Signature([8; 64]) })
    }

    fn sampled(height: u64, own: Option<(View, Signature)>) -> SampledVotes {
        SampledVotes { height: Height(height), voters: [0, 2, 9].into_iter().collect(), own }
    }

    #[test]
    fn every_kind_survives_the_way_through_json() {
        let bodies = [
            ProposalBody::KvPut { key: "a".into(), value: b"text".to_vec() },
            ProposalBody::KvPut { key: "a".into(), value: vec![0xff, 0x00] },
            ProposalBody::KvDelete { key: "a".into() },
            ProposalBody::KvCas { key: "a".into(), expected_version: 3, value: Vec::new() },
            ProposalBody::Text { title: "t".into(), text: "x".into() },
            ProposalBody::ParamSet { name: "n".into(), value: "1".into() },
            ProposalBody::ValidatorAdd { validator: ValidatorId([1; 32]), weight: Weight(5) },
            ProposalBody::ValidatorRemove { validator: ValidatorId([1; 32]) },
            ProposalBody::ProposalVote { proposal: Hash([2; 32]), approve: true },
            ProposalBody::Evidence { first: vote(1), second: vote(2) },
            ProposalBody::MetricsReport { report: vec![1, 0xff], sampled: vec![sampled(3, None)] },
            ProposalBody::MetricsReport {
                report: vec![1],
                sampled: vec![sampled(3, None), sampled(9, Some((View(0), Signature([8; 64]))))],
            },
            ProposalBody::MetricsEvidence { first: vec![1], second: vec![2] },
        ];
        for body in bodies {
            let text = serde_json::to_string(&ProposalBodyJson::from(&body)).unwrap();
            let read: ProposalBodyJson = serde_json::from_str(&text).unwrap();
            assert_eq!(read.to_body().unwrap(), body, "{text}");
        }
    }

    fn refusal(kind: &str, body: Value) -> ApiError {
        ProposalBodyJson { kind: kind.into(), body }.to_body().unwrap_err()
    }

    #[test]
    fn refusals_name_the_field() {
        let misspelt = refusal("kv.put", json!({"key": "a", "value": "b", "vlaue": "c"}));
        assert_eq!(misspelt.code, ErrorCode::InvalidArgument);
        assert!(misspelt.message.contains("vlaue"), "{misspelt}");

        let both = refusal("kv.put", json!({"key": "a", "value": "b", "value_base64": "Yg=="}));
        assert_eq!(both.field.as_deref(), Some("body.value"));
        let neither = refusal("kv.put", json!({"key": "a"}));
        assert_eq!(neither.field.as_deref(), Some("body.value"));

        let missing = refusal("kv.cas", json!({"key": "a", "value": "b"}));
        assert!(missing.message.contains("expected_version"), "{missing}");
        let empty = refusal("kv.delete", json!({"key": ""}));
        assert_eq!(empty.field.as_deref(), Some("body.key"));

        let large = refusal("kv.put", json!({"key": "a", "value": "b".repeat(64 * 1024 + 1)}));
        assert_eq!((large.code, large.field.as_deref()), (ErrorCode::TooLarge, Some("body.value")));
        let unknown = refusal("kv.putt", json!({}));
        assert_eq!(unknown.code, ErrorCode::UnknownKind);
        assert!(unknown.message.contains("kv.put,"), "{unknown}");
    }
}
