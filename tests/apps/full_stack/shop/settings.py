from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", env_file=".env")

    title: str
    database: str = "sqlite+aiosqlite:///shop.db"


VERSION = 0
settings = Settings()
