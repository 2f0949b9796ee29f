from . import claims as claims
from .claims.catalogue import claims_listing as claims_listing
from .report import write_report as write_report
from .run import run_study as run_study
from .study import Group as Group
from .study import Study as Study
from .study import load_study as load_study
from .study import study_of as study_of
