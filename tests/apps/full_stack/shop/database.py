from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from .settings import settings

VERSION = 0


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    was_audited: Mapped[bool] = mapped_column(default=False)


async def connect() -> AsyncEngine:
    engine = create_async_engine(
        settings.database, pool_size=1, max_overflow=0, connect_args={"timeout": 30}
    )
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    return engine


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(request.state.engine, expire_on_commit=False) as one:
        yield one


Session = Annotated[AsyncSession, Depends(session)]
