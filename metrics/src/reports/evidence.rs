//! Proof that a node said two things at once.

use aegis_types::{Canonical, Domain, TypesError, ValidatorId};

use crate::error::MetricsError;
use crate::proto;
use crate::reports::encoding::missing;
use crate::reports::report::SignedReport;

/// Two different reports of one reporter with one number in one epoch. Anyone can check it; only the reporter can
/// make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportEvidence {
    first: SignedReport,
    second: SignedReport,
}

impl ReportEvidence {
    /// Pairs two reports, the one with the smaller encoding first, so that a pair has one form. Does not check
    /// signatures.
    ///
    /// # Errors
    /// `NoEvidence` when reporter, epoch or number differ or the contents are equal.
    pub fn new(a: SignedReport, b: SignedReport) -> Result<Self, MetricsError> {
        let no = |reason| Err(MetricsError::NoEvidence { reason });
        if a.report.reporter != b.report.reporter {
            return no("they are of two reporters");
        }
        if (a.report.epoch, a.report.sequence) != (b.report.epoch, b.report.sequence) {
            return no("they have different epochs or numbers");
        }
        match a.report.encode().cmp(&b.report.encode()) {
            std::cmp::Ordering::Less => Ok(Self { first: a, second: b }),
            std::cmp::Ordering::Greater => Ok(Self { first: b, second: a }),
            std::cmp::Ordering::Equal => no("they say the same"),
        }
    }

    /// Who is proven faulty, once [`ReportEvidence::verify`] holds.
    pub fn reporter(&self) -> ValidatorId {
        self.first.report.reporter
    }

    /// Both reports.
    pub fn reports(&self) -> [&SignedReport; 2] {
        [&self.first, &self.second]
    }

    /// Checks both signatures.
    ///
    /// # Errors
    /// `BadSignature`.
    pub fn verify(&self, domain: &Domain) -> Result<(), MetricsError> {
        if self.first.verify(domain) && self.second.verify(domain) {
            Ok(())
        } else {
            Err(TypesError::BadSignature { what: "report" }.into())
        }
    }
}

impl Canonical for ReportEvidence {
    type Proto = proto::ReportEvidence;
    const NAME: &'static str = "report evidence";
    const MAX_BYTES: usize = 2 * SignedReport::MAX_BYTES + 16;

    fn to_proto(&self) -> Self::Proto {
        proto::ReportEvidence { first: Some(self.first.to_proto()), second: Some(self.second.to_proto()) }
    }

    fn from_proto(proto: Self::Proto) -> Result<Self, TypesError> {
        let read = |report: Option<proto::SignedReport>| {
            SignedReport::from_proto(report.ok_or_else(|| missing("report"))?)
        };
        let (first, second) = (read(proto.first)?, read(proto.second)?);
        let evidence = Self::new(first.clone(), second)
            .map_err(|error| TypesError::invalid("report evidence", error.to_string()))?;
        if evidence.first == first {
            Ok(evidence)
        } else {
            Err(TypesError::invalid("report evidence", "the two reports are not in order"))
        }
    }
}
