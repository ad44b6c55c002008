"""Whose a resource is: a keypair belongs to a user, and no other user of its project sees it or can delete it. Pure.

What somebody does not see is not absent, and what he does not find to delete is not gone.
"""

from journal.events import OF_A_USER
from projections.fold import History, Step
from projections.verdicts import Verdict


def why_in_doubt(history: History, create: Step, user: str) -> str:
    """Return why a create is in doubt after this user has looked."""
    if create.creates not in OF_A_USER or create.user == user:
        return "the cloud could not be seen whole"
    if create.user is None:
        unsaid = f"it does not say to which user its {create.creates} belongs, so no listing proves that there is none"
        return f"{unsaid}. {_once_certain(history, create)}"
    return f"a {create.creates} of user {create.user}, which no other user sees: run this as that user"


def why_unseen(history: History, verdict: Verdict, user: str) -> str | None:
    """Return why this user cannot delete what he does not see; None where it is not there, for all that he can tell."""
    create = history.creates[verdict.step] if verdict.step else None
    if verdict.kind not in OF_A_USER or create is None or create.user == user:
        return None
    if create.user is None:
        unseen = "nobody said to which user it belongs, and this one does not see it: run this as the user who made it"
        return f"{unseen}. {_once_certain(history, create)}"
    return f"it belongs to user {create.user}, and no other user sees it: run this as that user"


def _once_certain(history: History, create: Step) -> str:
    return f"Once it is certain that there is none: `provjournal resolve {history.stream} {create.id} gone --reason …`"
