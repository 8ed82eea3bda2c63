"""The wire of outpatient billing."""

from modules.outpatient_billing.schemas.office import (
    ApprovalIn as ApprovalIn,
)
from modules.outpatient_billing.schemas.office import (
    ApprovalsOut as ApprovalsOut,
)
from modules.outpatient_billing.schemas.office import (
    ApprovalsQuery as ApprovalsQuery,
)
from modules.outpatient_billing.schemas.office import (
    CloseShiftIn as CloseShiftIn,
)
from modules.outpatient_billing.schemas.office import (
    DecideIn as DecideIn,
)
from modules.outpatient_billing.schemas.office import (
    GrantedOut as GrantedOut,
)
from modules.outpatient_billing.schemas.office import (
    HoldersOut as HoldersOut,
)
from modules.outpatient_billing.schemas.office import (
    NumbersOut as NumbersOut,
)
from modules.outpatient_billing.schemas.office import (
    RangeIn as RangeIn,
)
from modules.outpatient_billing.schemas.office import (
    RangeOut as RangeOut,
)
from modules.outpatient_billing.schemas.office import (
    RangesOut as RangesOut,
)
from modules.outpatient_billing.schemas.office import (
    RangesQuery as RangesQuery,
)
from modules.outpatient_billing.schemas.office import (
    ShiftOut as ShiftOut,
)
from modules.outpatient_billing.schemas.office import (
    ShiftsOut as ShiftsOut,
)
from modules.outpatient_billing.schemas.office import (
    ShiftsQuery as ShiftsQuery,
)
from modules.outpatient_billing.schemas.office import (
    VoidIn as VoidIn,
)
from modules.outpatient_billing.schemas.office import (
    VoidNumbersIn as VoidNumbersIn,
)
from modules.outpatient_billing.schemas.office import (
    VoidsOut as VoidsOut,
)
from modules.outpatient_billing.schemas.registrations import (
    BookIn as BookIn,
)
from modules.outpatient_billing.schemas.registrations import (
    CancelRegistrationIn as CancelRegistrationIn,
)
from modules.outpatient_billing.schemas.registrations import (
    ChangedOut as ChangedOut,
)
from modules.outpatient_billing.schemas.registrations import (
    ChangeIn as ChangeIn,
)
from modules.outpatient_billing.schemas.registrations import (
    ChangePreviewIn as ChangePreviewIn,
)
from modules.outpatient_billing.schemas.registrations import (
    ChangePreviewOut as ChangePreviewOut,
)
from modules.outpatient_billing.schemas.registrations import (
    HeldOut as HeldOut,
)
from modules.outpatient_billing.schemas.registrations import (
    HoldIn as HoldIn,
)
from modules.outpatient_billing.schemas.registrations import (
    RegisteredOut as RegisteredOut,
)
from modules.outpatient_billing.schemas.registrations import (
    RegisterIn as RegisterIn,
)
from modules.outpatient_billing.schemas.registrations import (
    RegistrationsOut as RegistrationsOut,
)
from modules.outpatient_billing.schemas.registrations import (
    RegistrationsQuery as RegistrationsQuery,
)
from modules.outpatient_billing.schemas.registrations import (
    RenewalsOut as RenewalsOut,
)
from modules.outpatient_billing.schemas.registrations import (
    RenewIn as RenewIn,
)
from modules.outpatient_billing.schemas.registrations import (
    TakeIn as TakeIn,
)
from modules.outpatient_billing.schemas.window import (
    IntentIn as IntentIn,
)
from modules.outpatient_billing.schemas.window import (
    IntentOut as IntentOut,
)
from modules.outpatient_billing.schemas.window import (
    IntentsOut as IntentsOut,
)
from modules.outpatient_billing.schemas.window import (
    IntentsQuery as IntentsQuery,
)
from modules.outpatient_billing.schemas.window import (
    OwingOut as OwingOut,
)
from modules.outpatient_billing.schemas.window import (
    RefundedOut as RefundedOut,
)
from modules.outpatient_billing.schemas.window import (
    RefundIn as RefundIn,
)
from modules.outpatient_billing.schemas.window import (
    RefundPreviewIn as RefundPreviewIn,
)
from modules.outpatient_billing.schemas.window import (
    RefundPreviewOut as RefundPreviewOut,
)
from modules.outpatient_billing.schemas.window import (
    SettledOut as SettledOut,
)
from modules.outpatient_billing.schemas.window import (
    SettleIn as SettleIn,
)
from modules.outpatient_billing.schemas.window import (
    SettlementOut as SettlementOut,
)
from modules.outpatient_billing.schemas.window import (
    SettlementsOut as SettlementsOut,
)
from modules.outpatient_billing.schemas.window import (
    SettlementsQuery as SettlementsQuery,
)
from modules.outpatient_billing.schemas.window import (
    SupplementIn as SupplementIn,
)
from modules.outpatient_billing.schemas.window import (
    SupplementOut as SupplementOut,
)
from modules.outpatient_billing.schemas.window import (
    UnpaidOut as UnpaidOut,
)
from modules.outpatient_billing.schemas.window import (
    UnpaidQuery as UnpaidQuery,
)
from modules.outpatient_billing.schemas.window import (
    pays as pays,
)
from modules.outpatient_billing.schemas.window import (
    returns_of as returns_of,
)
