"""What Tidegate is measured against: a shop in the usual style, where the request handler does everything.

FastAPI, SQLAlchemy's ORM on asyncpg, a token check, and one commit per request; it writes the same facts (order, lines,
reservation, event, idempotency record) into the same tables. It is built to be fast, not to lose: rows are loaded with
one statement per table and locked in one order, the pool is sized for the load, and events take their numbers from a
sequence, which has gaps but does not make requests queue for a counter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID, uuid4

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import BigInteger, DateTime, Integer, Sequence, SmallInteger, make_url, select
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS, LINE_MAX_QUANTITY, ORDER_MAX_LINES, SKU_PATTERN
from runtime.settings import settings
from runtime.signing_keys import key_ring
from runtime.tokens import claims_of

POOL_CONNECTIONS: Final = 16  # of each process; more only queue for the two cores

EVENT_SEQ: Final = Sequence("event_seq")


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {datetime: DateTime(timezone=True), int: BigInteger, dict[str, Any]: JSON}


class Variant(Base):
    __tablename__ = "variants"
    sku: Mapped[str] = mapped_column(primary_key=True)
    price_minor: Mapped[int]
    currency: Mapped[str]
    on_sale: Mapped[bool]


class Stock(Base):
    __tablename__ = "stock"
    sku: Mapped[str] = mapped_column(primary_key=True)
    on_hand: Mapped[int] = mapped_column(Integer)
    reserved: Mapped[int] = mapped_column(Integer)


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    status: Mapped[str]
    currency: Mapped[str]
    total_minor: Mapped[int]
    placed_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    email: Mapped[str | None]
    placed_seq: Mapped[int]


class OrderLine(Base):
    __tablename__ = "order_lines"
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    sku: Mapped[str]
    quantity: Mapped[int] = mapped_column(Integer)
    unit_price_minor: Mapped[int]


class Event(Base):
    __tablename__ = "events"
    seq: Mapped[int] = mapped_column(primary_key=True)
    type: Mapped[str]
    subject: Mapped[str]
    command_id: Mapped[UUID]
    actor: Mapped[str]
    occurred_at: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class Command(Base):
    __tablename__ = "commands"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    type: Mapped[str]
    principal: Mapped[str]
    accepted_at: Mapped[datetime]
    applied_at: Mapped[datetime]
    mailbox: Mapped[int] = mapped_column(SmallInteger)
    entry_id: Mapped[str]
    status: Mapped[str]
    seq: Mapped[int]
    idempotency_key: Mapped[str | None]
    request: Mapped[bytes]


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    command_id: Mapped[UUID]
    fingerprint: Mapped[bytes | None]


class WantedLine(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sku: str = Field(pattern=SKU_PATTERN)
    quantity: int = Field(ge=1, le=LINE_MAX_QUANTITY)


class OrderRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lines: list[WantedLine] = Field(min_length=1, max_length=ORDER_MAX_LINES)


class PlacedLine(BaseModel):
    sku: str
    quantity: int
    unit_price_minor: int


class PlacedOrder(BaseModel):
    id: UUID
    customer_id: str
    status: str
    currency: str
    total_minor: int
    placed_at: datetime
    lines: list[PlacedLine]
    email: str | None = None


bearer = HTTPBearer()


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as opened:
        yield opened


async def customer(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    try:
        claims = claims_of(credentials.credentials, key_ring(settings()))
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, str(error)) from error
    return str(claims["sub"])


async def place_order(
    body: OrderRequest,
    session: Annotated[AsyncSession, Depends(session)],
    customer_id: Annotated[str, Depends(customer)],
    idempotency_key: Annotated[str, Header(max_length=IDEMPOTENCY_KEY_MAX_CHARS)],
) -> PlacedOrder:
    """Checks, reserves, records and commits."""
    request = body.model_dump_json().encode()
    key_taken = select(IdempotencyKey.command_id).filter_by(principal=customer_id, key=idempotency_key)
    if await session.scalar(key_taken):
        raise HTTPException(409, "The idempotency key was used before.")
    wanted = {line.sku: line.quantity for line in body.lines}
    on_sale = select(Variant).where(Variant.sku.in_(wanted), Variant.on_sale)
    variants = {variant.sku: variant for variant in await session.scalars(on_sale)}
    if unknown := wanted.keys() - variants.keys():
        raise HTTPException(422, f"Unknown SKUs: {sorted(unknown)}")
    locked = select(Stock).where(Stock.sku.in_(wanted)).order_by(Stock.sku).with_for_update()
    for stock in await session.scalars(locked):
        if stock.on_hand - stock.reserved < wanted[stock.sku]:
            raise HTTPException(409, f"Not enough of {stock.sku} in stock.")
        stock.reserved += wanted[stock.sku]

    now = datetime.now(UTC)
    placed = PlacedOrder(
        id=uuid4(),
        customer_id=customer_id,
        status="placed",
        currency="GBP",
        total_minor=sum(variants[sku].price_minor * quantity for sku, quantity in wanted.items()),
        placed_at=now,
        lines=[
            PlacedLine(sku=sku, quantity=quantity, unit_price_minor=variants[sku].price_minor)
            for sku, quantity in wanted.items()
        ],
    )
    command_id = uuid4()
    seq = await session.scalar(EVENT_SEQ)
    session.add(Order(**placed.model_dump(exclude={"lines"}), updated_at=now, placed_seq=seq))
    session.add_all(
        OrderLine(order_id=placed.id, position=position, **line.model_dump())
        for position, line in enumerate(placed.lines)
    )
    session.add(
        Event(
            seq=seq,
            type="order.placed",
            subject=str(placed.id),
            command_id=command_id,
            actor=customer_id,
            occurred_at=now,
            data=placed.model_dump(mode="json", exclude={"status", "placed_at"}),
        )
    )
    session.add(
        Command(
            id=command_id,
            type="PlaceOrder",
            principal=customer_id,
            accepted_at=now,
            applied_at=now,
            mailbox=0,
            entry_id="0-0",
            status="applied",
            seq=seq,
            idempotency_key=idempotency_key,
            request=request,
        )
    )
    session.add(
        IdempotencyKey(
            principal=customer_id,
            key=idempotency_key,
            command_id=command_id,
            fingerprint=sha256(request).digest(),
        )
    )
    await session.commit()
    return placed


def create_app() -> FastAPI:
    """The whole shop: one route."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        url = make_url(settings().database_url).set(drivername="postgresql+asyncpg")
        engine = create_async_engine(url, pool_size=POOL_CONNECTIONS, max_overflow=0)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.post("/api/v1/orders", status_code=201)(place_order)
    return app
